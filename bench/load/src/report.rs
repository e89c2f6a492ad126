//! The result of a run: named numbers in the order they were added, as one JSON line or one for people.

use std::fmt::Write;

pub(crate) enum Value {
    Integer(u64),
    /// A number and how many decimals of it mean something.
    Decimal(f64, usize),
    Text(&'static str),
}

pub(crate) struct Report {
    fields: Vec<(&'static str, Value)>,
}

impl Report {
    pub(crate) fn new(mode: &'static str) -> Self {
        Self { fields: vec![("mode", Value::Text(mode))] }
    }

    pub(crate) fn add(&mut self, name: &'static str, value: Value) {
        self.fields.push((name, value));
    }

    /// `{"mode":"echo","connections":50,...}`
    pub(crate) fn json(&self) -> String {
        let fields: Vec<String> =
            self.fields.iter().map(|(name, value)| format!("{}:{}", quoted(name), value.json())).collect();
        format!("{{{}}}", fields.join(","))
    }

    /// `echo: connections 50, ...`
    pub(crate) fn human(&self) -> String {
        let mut fields = self.fields.iter().map(|(name, value)| (name.replace('_', " "), value.human()));
        let mode = fields.next().map(|(_, mode)| mode).unwrap_or_default();
        let rest: Vec<String> = fields.map(|(name, value)| format!("{name} {value}")).collect();
        format!("{mode}: {}", rest.join(", "))
    }
}

impl Value {
    fn json(&self) -> String {
        match self {
            Self::Integer(number) => number.to_string(),
            // JSON knows neither infinity nor NaN.
            Self::Decimal(number, _) if !number.is_finite() => "null".into(),
            Self::Decimal(number, decimals) => format!("{number:.decimals$}"),
            Self::Text(text) => quoted(text),
        }
    }

    fn human(&self) -> String {
        match self {
            Self::Integer(number) => grouped(&number.to_string()),
            Self::Decimal(number, decimals) => grouped(&format!("{number:.decimals$}")),
            Self::Text(text) => (*text).into(),
        }
    }
}

fn quoted(text: &str) -> String {
    let mut json = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => json.extend(['\\', character]),
            '\0'..='\x1f' => write!(json, "\\u{:04x}", u32::from(character)).unwrap_or_default(),
            _ => json.push(character),
        }
    }
    json.push('"');
    json
}

/// `1234567.5` as `1,234,567.5`.
fn grouped(number: &str) -> String {
    let whole = number
        .find(|character: char| !character.is_ascii_digit() && character != '-')
        .unwrap_or(number.len());
    let mut text = String::new();
    for (index, digit) in number[..whole].char_indices() {
        let follows = whole - index;
        if index > 0 && follows % 3 == 0 && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text + &number[whole..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::new("echo");
        report.add("connections", Value::Integer(50));
        report.add("per_second", Value::Decimal(2_519_000.4, 0));
        report.add("p50_us", Value::Decimal(23.456, 1));
        report
    }

    #[test]
    fn json_keeps_order_and_decimals() {
        let expected = r#"{"mode":"echo","connections":50,"per_second":2519000,"p50_us":23.5}"#;
        assert_eq!(report().json(), expected);
    }

    #[test]
    fn people_read_words_and_groups_of_three() {
        assert_eq!(report().human(), "echo: connections 50, per second 2,519,000, p50 us 23.5");
    }

    #[test]
    fn json_has_no_nan_and_escapes_text() {
        assert_eq!(Value::Decimal(f64::NAN, 1).json(), "null");
        assert_eq!(Value::Text("a\"b\\c\n").json(), r#""a\"b\\c\u000a""#);
    }

    #[test]
    fn digits_are_grouped_before_the_point_only() {
        for (number, expected) in [
            ("0", "0"),
            ("999", "999"),
            ("1000", "1,000"),
            ("1234567.8901", "1,234,567.8901"),
            ("-100", "-100"),
            ("-1000.5", "-1,000.5"),
        ] {
            assert_eq!(grouped(number), expected);
        }
    }
}
