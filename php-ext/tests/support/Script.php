<?php
declare(strict_types=1);

namespace WsEngine\Tests;

/** A PHP script in a process of its own, with the extension as this process has it. */
final class Script
{
    public readonly int $pid;
    private string $output = '';
    private string $errors = '';
    private ?array $end = null;
    /** @var resource */
    private $process;
    private array $pipes = [];

    /**
     * @param list<string> $options for PHP itself
     * @param string $shell what the shell runs before it becomes PHP
     */
    public function __construct(string $code, array $options = [], string $shell = '')
    {
        $options = ['-d', 'display_errors=stderr', '-d', 'log_errors=0', ...$options];
        $command = implode(' ', array_map('escapeshellarg', [PHP_BINARY, ...$options, '-r', $code]));
        $pipes = [1 => ['pipe', 'w'], 2 => ['pipe', 'w']];
        $this->process = proc_open(['/bin/sh', '-c', "$shell exec $command"], $pipes, $this->pipes);
        $this->pid = proc_get_status($this->process)['pid'];
        stream_set_blocking($this->pipes[1], false);
    }

    public function __destruct()
    {
        if ($this->end === null) {
            proc_terminate($this->process, SIGKILL);
            proc_close($this->process);
        }
    }

    /** The next line of its standard output. */
    public function line(float $timeout = 5.0): string
    {
        $deadline = microtime(true) + $timeout;
        while (($end = strpos($this->output, "\n")) === false) {
            $left = $deadline - microtime(true);
            $read = [$this->pipes[1]];
            $write = $except = null;
            if ($left > 0) {
                @stream_select($read, $write, $except, (int) $left, (int) (fmod($left, 1.0) * 1e6));
            }
            $bytes = fread($this->pipes[1], 65536);
            if ($left <= 0 || ($bytes === '' && feof($this->pipes[1]))) {
                throw new \RuntimeException("no line came; errors: " . $this->errors());
            }
            $this->output .= $bytes;
        }
        $line = substr($this->output, 0, $end);
        $this->output = substr($this->output, $end + 1);
        return $line;
    }

    public function signal(int $signal): void
    {
        posix_kill($this->pid, $signal);
    }

    /** Waits for the end: ['exit' => its status or null, 'signal' => the one that killed it or null]. */
    public function end(float $timeout = 5.0): array
    {
        $deadline = microtime(true) + $timeout;
        while (pcntl_waitpid($this->pid, $status, WNOHANG) === 0) {
            if (microtime(true) > $deadline) {
                throw new \RuntimeException('the script does not end');
            }
            usleep(1000);
        }
        $this->end = [
            'exit' => pcntl_wifexited($status) ? pcntl_wexitstatus($status) : null,
            'signal' => pcntl_wifsignaled($status) ? pcntl_wtermsig($status) : null,
        ];
        // Only a PHP built for debugging reports them.
        if (str_contains($this->errors(), 'memory leaks detected')) {
            throw new \RuntimeException("the script leaks: " . $this->errors());
        }
        return $this->end;
    }

    /** What it wrote to standard error so far. */
    public function errors(): string
    {
        stream_set_blocking($this->pipes[2], false);
        return $this->errors .= stream_get_contents($this->pipes[2]);
    }
}
