//! Who is a member of which topic, as one I/O thread has it: behind what hosts see (`mailbox/topics.rs`) by
//! the commands that wait, and in their order.

use std::collections::HashMap;

/// The members of all topics, by slot.
#[derive(Default)]
pub(crate) struct Members {
    /// The members of each topic, in no order.
    of: Vec<Vec<u32>>,
    /// The topics of each slot, and where it stands among the members: so nobody is searched for. A slot
    /// without topics has no entry.
    places: HashMap<u32, HashMap<u32, u32>>,
}

impl Members {
    pub(crate) fn of(&self, topic: u32) -> &[u32] {
        self.of.get(topic as usize).map_or(&[], |members| members)
    }

    pub(crate) fn subscribe(&mut self, slot: u32, topic: u32) {
        let index = topic as usize;
        if self.of.len() <= index {
            self.of.resize_with(index + 1, Vec::new);
        }
        let Some(members) = self.of.get_mut(index) else { return };
        self.places.entry(slot).or_default().entry(topic).or_insert_with(|| {
            members.push(slot);
            members.len() as u32 - 1
        });
    }

    pub(crate) fn unsubscribe(&mut self, slot: u32, topic: u32) {
        let Some(places) = self.places.get_mut(&slot) else { return };
        let Some(place) = places.remove(&topic) else { return };
        if places.is_empty() {
            self.places.remove(&slot);
        }
        self.vacate(topic, place);
    }

    /// The end of all memberships of a slot.
    pub(crate) fn leave(&mut self, slot: u32) {
        let Some(places) = self.places.remove(&slot) else { return };
        for (topic, place) in places {
            self.vacate(topic, place);
        }
    }

    /// Takes a member out of a topic; the last one takes its place.
    fn vacate(&mut self, topic: u32, place: u32) {
        let Some(members) = self.of.get_mut(topic as usize) else { return };
        let Some(last) = members.pop() else { return };
        if let Some(member) = members.get_mut(place as usize) {
            *member = last;
            if let Some(moved) = self.places.get_mut(&last).and_then(|places| places.get_mut(&topic)) {
                *moved = place;
            }
        } else if members.is_empty() {
            // The next topic of this number may be a small one.
            *members = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[derive(Debug, Clone)]
    enum Step {
        Subscribe(u32, u32),
        Unsubscribe(u32, u32),
        Leave(u32),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let (slot, topic) = (0u32..7, 0u32..5);
        let step = prop_oneof![
            4 => (slot.clone(), topic.clone()).prop_map(|(slot, topic)| Step::Subscribe(slot, topic)),
            2 => (slot.clone(), topic).prop_map(|(slot, topic)| Step::Unsubscribe(slot, topic)),
            1 => slot.prop_map(Step::Leave),
        ];
        proptest::collection::vec(step, 0..120)
    }

    proptest! {
        #[test]
        fn members_are_those_of_a_set_of_pairs(steps in steps()) {
            let (mut members, mut pairs) = (Members::default(), BTreeSet::new());
            for step in steps {
                match step {
                    Step::Subscribe(slot, topic) => {
                        members.subscribe(slot, topic);
                        pairs.insert((topic, slot));
                    }
                    Step::Unsubscribe(slot, topic) => {
                        members.unsubscribe(slot, topic);
                        pairs.remove(&(topic, slot));
                    }
                    Step::Leave(slot) => {
                        members.leave(slot);
                        pairs.retain(|pair| pair.1 != slot);
                    }
                }
                for topic in 0..5 {
                    let expected = pairs.iter().filter(|pair| pair.0 == topic).map(|pair| pair.1);
                    let mut found = members.of(topic).to_vec();
                    found.sort_unstable();
                    prop_assert_eq!(found, expected.collect::<Vec<_>>());
                }
            }
            (0..7).for_each(|slot| members.leave(slot));
            prop_assert!(members.places.is_empty());
            prop_assert_eq!(members.of.iter().map(Vec::capacity).sum::<usize>(), 0, "nothing is kept");
        }
    }
}
