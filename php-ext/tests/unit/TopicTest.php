<?php
declare(strict_types=1);

namespace WsEngine\Tests;

use WsEngine\Event;

final class TopicTest extends ServerTestCase
{
    public function testAMessageReachesTheMembersOfItsTopic(): void
    {
        $this->start();
        [$first, $firstConn] = $this->connect();
        [$second, $secondConn] = $this->connect();
        [$third] = $this->connect();
        self::assertTrue(ws_subscribe($firstConn, 'room 1'));
        self::assertTrue(ws_subscribe($secondConn, 'room 1'));
        self::assertTrue(ws_subscribe($secondConn, "r\0\u{1F41D}"));
        self::assertSame(3, ws_stats()['subscriptions']);
        self::assertSame([2, 1, 0], array_map('ws_members', ['room 1', "r\0\u{1F41D}", 'room 2']));

        self::assertSame(2, ws_publish('room 1', 'to both'));
        self::assertSame(1, ws_publish("r\0\u{1F41D}", "to \xFF one", binary: true));
        self::assertSame(0, ws_publish('room 2', 'to nobody'));
        ws_broadcast('to all');
        self::assertSame(['to both', 'to all'], [$first->expect(), $first->expect()]);
        self::assertSame(['to both', "to \xFF one"], [$second->expect(), $second->expect(Client::BINARY)]);
        self::assertSame(['to all', 'to all'], [$second->expect(), $third->expect()]);
    }

    public function testASecondSubscriptionChangesNothing(): void
    {
        $this->start();
        [$client, $conn] = $this->connect();
        self::assertTrue(ws_subscribe($conn, 'a'));
        self::assertTrue(ws_subscribe($conn, 'a'), 'it is subscribed');
        self::assertSame(1, ws_publish('a', 'once'));
        self::assertTrue(ws_unsubscribe($conn, 'a'));
        self::assertFalse(ws_unsubscribe($conn, 'a'));
        self::assertSame(0, ws_publish('a', 'late'));
        ws_send($conn, 'end');
        self::assertSame(['once', 'end'], [$client->expect(), $client->expect()]);
    }

    public function testTheExceptedAreLeftOut(): void
    {
        $this->start();
        [$first, $firstConn] = $this->connect();
        [$second, $secondConn] = $this->connect();
        ws_subscribe($firstConn, 'a');
        ws_subscribe($secondConn, 'a');
        self::assertSame(1, ws_publish('a', 'from the first', except: [$firstConn, 0, -1, 17]));
        self::assertSame(0, ws_publish('a', 'to nobody', false, [$firstConn, $secondConn]));
        self::assertSame(2, ws_publish('a', 'end'));
        self::assertSame('end', $first->expect());
        self::assertSame(['from the first', 'end'], [$second->expect(), $second->expect()]);
    }

    public function testWhoComesBackGetsWhatWasMissed(): void
    {
        $this->start(['history' => 'room:=10/60']);
        [$first, $conn] = $this->connect();
        self::assertTrue(ws_subscribe($conn, 'room:1', ''));
        self::assertSame([['topic' => 'room:1', 'gap' => false, 'replay' => 0], ''], self::opened($first->expect()));
        self::assertSame(1, ws_publish('room:1', 'one'));
        ws_publish('room:1', 'two');
        [$head, $message] = self::opened($first->expect());
        self::assertSame('one', $message);
        [$second, $conn] = $this->connect();
        self::assertTrue(ws_subscribe($conn, 'room:1', since: $head['at']));
        self::assertSame(['topic' => 'room:1', 'at' => $head['at'], 'gap' => false, 'replay' => 1], self::opened($second->expect())[0]);
        self::assertSame('two', self::opened($second->expect())[1]);
        self::assertTrue(ws_subscribe($conn, 'room:2', "\xFF"));
        self::assertTrue(self::opened($second->expect())[0]['gap']);
        self::assertGreaterThan(100, ws_stats()['history_bytes']);
    }

    public function testMembersHearWhoIsThere(): void
    {
        $this->start(['presence' => 'room:']);
        [$first, $conn] = $this->connect();
        self::assertTrue(ws_subscribe($conn, 'room:1', label: 'Ann'));
        $people = self::opened($first->expect())[0]['present'];
        self::assertSame([$people[0]['id'] => 'Ann'], ws_presence('room:1'));
        [$second, $conn] = $this->connect();
        self::assertTrue(ws_subscribe($conn, 'room:1', null, ''));
        self::assertSame($people, self::opened($second->expect())[0]['present']);
        self::assertTrue(ws_subscribe($conn, 'room:1', null, 'Bob'));
        do { // it may be told before that Ann has come
            $head = self::opened($second->expect())[0];
        } while (!isset($head['present']));
        self::assertCount(2, $head['present']);
        // Those who came at about the same time are told of together, or one after the other.
        do {
            $joined = array_column(self::opened($first->expect())[0]['joined'], 'label');
        } while (!in_array('Bob', $joined, true));
        $second->close();
        $this->next(Event::CLOSE);
        self::assertSame(['Ann'], array_values(ws_presence('room:1')));
        self::assertSame('Bob', self::opened($first->expect())[0]['left'][0]['label']);
    }

    /** @return array{array<string, mixed>, string} the line of JSON of an envelope, and what follows */
    private static function opened(string $envelope): array
    {
        self::assertStringStartsWith("\x01", $envelope);
        [$head, $message] = explode("\n", substr($envelope, 1), 2);
        return [json_decode($head, true, flags: JSON_THROW_ON_ERROR), $message];
    }

    public function testMessagesKeepTheirOrder(): void
    {
        $this->start();
        [$client, $conn] = $this->connect();
        for ($i = 0; $i < 300; $i++) {
            ws_subscribe($conn, 'a');
            ws_publish('a', "$i published");
            ws_send($conn, "$i sent");
            ws_unsubscribe($conn, 'a');
            ws_publish('a', "$i late");
            ws_broadcast("$i broadcast");
        }
        for ($i = 0; $i < 300; $i++) {
            foreach (['published', 'sent', 'broadcast'] as $way) {
                self::assertSame("$i $way", $client->expect());
            }
        }
    }

    public function testASubscriptionEndsWithItsConnection(): void
    {
        $this->start();
        [$stays, $staysConn] = $this->connect();
        [$leaves, $leavesConn] = $this->connect();
        [, $closedConn] = [$closed] = $this->connect();
        foreach ([$staysConn, $leavesConn, $closedConn] as $conn) {
            ws_subscribe($conn, 'a');
        }
        ws_close($closedConn);
        self::assertSame(2, ws_publish('a', 'to two'));
        $leaves->cut();
        self::assertSame($leavesConn, $this->next(Event::CLOSE)->conn);
        self::assertSame(1, ws_publish('a', 'to one'));
        foreach ([$leavesConn, $closedConn, 0, -1, PHP_INT_MAX] as $gone) {
            self::assertFalse(ws_subscribe($gone, 'a'));
            self::assertFalse(ws_unsubscribe($gone, 'a'));
        }
        self::assertSame(['to two', 'to one'], [$stays->expect(), $stays->expect()]);
        self::assertSame(1000, $closed->closed()[0]);
    }
}
