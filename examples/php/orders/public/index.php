<?php
// A page of an ordinary web server: it takes an order, saves it, and tells all open pages of it.
// ORDERS_SOCKET and ORDERS_PORT say where the WebSocket server is (../server.php).

declare(strict_types=1);

$socket = getenv('ORDERS_SOCKET') ?: sys_get_temp_dir() . '/wsengine-orders.sock';
$port = (int) (getenv('ORDERS_PORT') ?: 8080);
$file = sys_get_temp_dir() . '/wsengine-orders-' . md5($socket) . '.txt';

/**
 * Pushes a message to all whom a channel stands for, and says how many they are. What begins with the byte 1 is an envelope,
 * so a message that somebody else has written gets an empty one.
 */
function push(string $socket, string $channel, string $payload): int
{
    $stream = @stream_socket_client("unix://$socket", $code, $why, 1.0);
    if ($stream === false) {
        throw new RuntimeException("the WebSocket server is not there: $why");
    }
    stream_set_timeout($stream, 1);
    $payload = "\x01{}\n$payload";
    fwrite($stream, "*3\r\n$7\r\nPUBLISH\r\n$" . strlen($channel) . "\r\n$channel\r\n$" . strlen($payload) . "\r\n$payload\r\n");
    $answer = (string) fgets($stream);

    return str_starts_with($answer, ':') ? (int) substr($answer, 1) : throw new RuntimeException("not pushed: $answer");
}

if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    // At most 100 characters of UTF-8.
    $order = preg_match('/^.{1,100}/us', trim((string) ($_POST['order'] ?? '')), $match) ? $match[0] : '';
    $said = 'An order says what is wanted.';
    if ($order !== '') {
        file_put_contents($file, str_replace(["\r", "\n"], ' ', $order) . "\n", FILE_APPEND | LOCK_EX);
        try {
            $said = sprintf('Saved, and %d open pages know.', push($socket, 'wse:shop:topic:orders', $order));
        } catch (RuntimeException $e) {
            // The order is saved all the same.
            $said = 'Saved, but ' . $e->getMessage();
        }
    }
    // A reload must not order again.
    header('Location: ?' . http_build_query(['said' => $said]), true, 303);
    exit;
}

$orders = is_file($file) ? array_slice(file($file, FILE_IGNORE_NEW_LINES), -20) : [];
$html = fn (string $text): string => htmlspecialchars($text, ENT_QUOTES | ENT_SUBSTITUTE);
?>
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Orders</title>
<link rel="icon" href="data:,">
<style>
  body { font: 1rem/1.5 system-ui, sans-serif; max-width: 36rem; margin: 2rem auto; padding: 0 1rem; color: #1c2733; }
  form { display: flex; gap: .5rem; }
  input { flex: 1; min-width: 0; font: inherit; padding: .4rem .6rem; }
  button { font: inherit; padding: .4rem 1rem; }
  li { overflow-wrap: anywhere; }
  .new { animation: new 2s; }
  @keyframes new { from { background: #ffe9a8; } }
  #state { color: #566; }
</style>
<h1>Orders</h1>
<form method="post">
  <input name="order" maxlength="100" required aria-label="What is wanted" placeholder="What is wanted" autofocus>
  <button>Order</button>
</form>
<p id="said" role="status"><?= $html((string) ($_GET['said'] ?? '')) ?></p>
<ul id="orders" aria-live="polite">
<?php foreach (array_reverse($orders) as $order): ?>
  <li><?= $html($order) ?></li>
<?php endforeach ?>
</ul>
<p id="state">Connecting</p>
<script>
  const port = <?= $port ?>;
  const state = document.getElementById('state');
  let wait = 500;

  function connect() {
    const socket = new WebSocket(`ws://${location.hostname}:${port}/`);
    socket.addEventListener('open', () => {
      wait = 500;
      state.textContent = 'New orders appear by themselves.';
    });
    socket.addEventListener('message', ({ data }) => {
      const item = document.createElement('li');
      item.textContent = data;
      item.className = 'new';
      document.getElementById('orders').prepend(item);
    });
    socket.addEventListener('close', () => {
      state.textContent = 'No connection: new orders appear after a reload.';
      setTimeout(connect, wait);
      wait = Math.min(wait * 2, 30000);
    });
  }
  connect();
</script>
</html>
