<?php
declare(strict_types=1);

namespace WsEngine\Compat\Application;

/** Whose pages may connect, as setCheckOrigin() and setAllowedOrigin() say it: by domain, with www. or without. */
final class Origins
{
    public bool $check = true;
    /** @var array<string, true> */
    private array $domains = [];

    public function allow(mixed $domain): bool
    {
        $domain = self::domain($domain);
        if ($domain === '') {
            return false;
        }
        $this->domains[$domain] = true;
        return true;
    }

    public function allows(mixed $origin): bool
    {
        return isset($this->domains[self::domain($origin)]);
    }

    /** @return array<string, mixed> the option of the engine; none if nobody was named: then it is its default */
    public function option(): array
    {
        if (!$this->check) {
            return ['origins' => 'any'];
        }
        $origins = [];
        foreach (\array_keys($this->domains) as $domain) {
            \array_push($origins, "http://$domain", "https://$domain", "http://www.$domain", "https://www.$domain");
        }
        return $origins === [] ? [] : ['origins' => $origins];
    }

    private static function domain(mixed $origin): string
    {
        return \preg_replace('~^(?:https?://)?(?:www\.)?([^/]*).*$~s', '$1', (string) $origin);
    }
}
