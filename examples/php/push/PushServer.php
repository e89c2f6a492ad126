<?php
// Pushes to many clients, each at its own random intervals, in one process, with no fork and no sleep:
// the pushes that are due stand in a heap, and the wait for the engine's next event ends when the first is.

declare(strict_types=1);

use WsEngine\Event;

final class PushServer
{
    /** @var array<int, array{id: int, pushes: int, quit: bool}> by connection */
    private array $clients = [];
    private int $lastId = 0;

    /** @var SplMinHeap<array{float, int}> when a push is due, and for which connection; the soonest on top */
    private SplMinHeap $due;

    public function __construct()
    {
        $this->due = new SplMinHeap();
    }

    /** Returns when the server was stopped by a signal. */
    public function run(): void
    {
        while (true) {
            foreach (ws_poll_events(256, $this->untilNextPush()) as $event) {
                if ($event->type === Event::STOPPED) {
                    return;
                }
                $this->handle($event);
            }
            $this->pushWhatIsDue();
        }
    }

    private function handle(Event $event): void
    {
        match ($event->type) {
            Event::OPEN => $this->welcome($event),
            Event::MESSAGE => $this->received($event),
            Event::CLOSE => $this->closed($event),
            Event::ERROR => $this->log("error: $event->data"),
            default => null,
        };
    }

    private function welcome(Event $event): void
    {
        $id = ++$this->lastId;
        $this->clients[$event->conn] = ['id' => $id, 'pushes' => 0, 'quit' => false];
        $this->log("client $id: open from {$event->request->peer}, " . count($this->clients) . ' connected');
        $this->sayAndWait($event->conn, "Welcome, you are client $id.");
    }

    private function received(Event $event): void
    {
        ['id' => $id, 'quit' => $quit] = $this->clients[$event->conn];
        $text = $event->binary ? '(binary)' : trim($event->data);
        $this->log("client $id: says \"$text\"");
        if ($quit) {
            return; // its close is on the way
        }
        if ($text === 'quit') {
            $this->clients[$event->conn]['quit'] = true;
            ws_send($event->conn, 'Bye.');
            ws_close($event->conn, 1000, 'you said quit');
            $this->log("client $id: its push ends");
            return;
        }
        ws_send($event->conn, 'I understand "quit" only.');
    }

    private function closed(Event $event): void
    {
        $id = $this->clients[$event->conn]['id'];
        unset($this->clients[$event->conn]);
        $reason = $event->data ? " \"$event->data\"" : '';
        $this->log("client $id: closed, $event->code$reason, " . count($this->clients) . ' connected');
    }

    private function pushWhatIsDue(): void
    {
        $now = $this->now();
        while (!$this->due->isEmpty() && $this->due->top()[0] <= $now) {
            [, $conn] = $this->due->extract();
            // A connection's number never comes again, so one who left is simply not found.
            if (isset($this->clients[$conn]) && !$this->clients[$conn]['quit']) {
                $push = ++$this->clients[$conn]['pushes'];
                $this->sayAndWait($conn, "Push $push, at " . date('H:i:s') . '.');
            }
        }
    }

    private function sayAndWait(int $conn, string $text): void
    {
        $wait = random_int(2, 5);
        $text .= " I am waiting $wait seconds.";
        $sent = ws_send($conn, $text);
        $this->due->insert([$this->now() + $wait, $conn]);
        $this->log("client {$this->clients[$conn]['id']}: " . ($sent ? "sent \"$text\"" : 'does not take what is sent'));
    }

    private function untilNextPush(): float
    {
        return $this->due->isEmpty() ? -1.0 : max(0.0, $this->due->top()[0] - $this->now());
    }

    /** Seconds of a clock that nobody sets. */
    private function now(): float
    {
        return hrtime(true) / 1e9;
    }

    private function log(string $line): void
    {
        // Words and reasons come from strangers: nothing in them may steer a terminal.
        echo date('H:i:s '), preg_replace('/\p{Cc}/u', '?', $line), "\n";
    }
}
