//! Where Redis is: at an address, or at the one that a Sentinel names at the time.

use super::session::Lost;
use redis::{AsyncConnectionConfig, Client};
use std::time::Duration;

/// Where a Sentinel listens if its address does not say.
const SENTINEL_PORT: u16 = 26_379;
/// How long one may take to answer; then the next is asked.
const SENTINEL_TIMEOUT: Duration = Duration::from_millis(500);

/// The value of the option `backplane`.
pub(crate) enum Place {
    Redis(Client),
    Sentinel(Sentinels),
}

pub(crate) struct Sentinels {
    clients: Vec<Client>,
    /// The name of the master.
    name: String,
    /// What stands before its address in a URL, and what after.
    before: String,
    after: String,
}

impl Place {
    /// None: it is no such address.
    pub(crate) fn parse(text: &str) -> Option<Place> {
        for (scheme, plain) in [("redis+sentinel://", "redis://"), ("rediss+sentinel://", "rediss://")] {
            if let Some(rest) = text.strip_prefix(scheme) {
                return Sentinels::parse(plain, rest).map(Place::Sentinel);
            }
        }
        Client::open(text).ok().map(Place::Redis)
    }

    /// The Redis of now.
    pub(super) async fn client(&self) -> Result<Client, Lost> {
        match self {
            Place::Redis(client) => Ok(client.clone()),
            Place::Sentinel(sentinels) => sentinels.master().await,
        }
    }
}

impl Sentinels {
    /// `[[USER]:PASSWORD@]HOST[:PORT][,HOST[:PORT]...]/MASTER[/DATABASE][?sentinel_password=...]`
    fn parse(scheme: &str, text: &str) -> Option<Sentinels> {
        let (text, query) = text.split_once('?').unwrap_or((text, ""));
        let password = match query {
            "" => String::new(),
            query => {
                format!(":{}@", query.strip_prefix("sentinel_password=").filter(|it| !it.contains('&'))?)
            }
        };
        let (credentials, rest) = text.rsplit_once('@').unwrap_or(("", text));
        let (hosts, path) = rest.split_once('/')?;
        let (name, database) = path.split_once('/').unwrap_or((path, ""));
        if name.is_empty() {
            return None;
        }
        let client = |host: &str| {
            // The last colon of [::1] is no port's.
            let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
            let port = if has_port { String::new() } else { format!(":{SENTINEL_PORT}") };
            if host.is_empty() { None } else { Client::open(format!("{scheme}{password}{host}{port}")).ok() }
        };
        let before = match credentials {
            "" => scheme.to_owned(),
            credentials => format!("{scheme}{credentials}@"),
        };
        let after = if database.is_empty() { String::new() } else { format!("/{database}") };
        Client::open(format!("{before}localhost{after}")).ok()?;
        let clients = hosts.split(',').map(client).collect::<Option<_>>()?;
        Some(Sentinels { clients, name: name.to_owned(), before, after })
    }

    /// The first Sentinel that knows says where it is.
    async fn master(&self) -> Result<Client, Lost> {
        let mut why = Vec::new();
        for sentinel in &self.clients {
            match self.ask(sentinel).await {
                Ok(Some((host, port))) => {
                    let host = if host.contains(':') { format!("[{host}]") } else { host };
                    return Ok(Client::open(format!("{}{host}:{port}{}", self.before, self.after))?);
                }
                Ok(None) => {
                    why.push(format!("{} knows no \"{}\"", sentinel.get_connection_info().addr(), self.name));
                }
                Err(error) => why.push(format!("{}: {error}", sentinel.get_connection_info().addr())),
            }
        }
        Err(Lost(format!("no Sentinel says where Redis is: {}", why.join("; "))))
    }

    async fn ask(&self, sentinel: &Client) -> redis::RedisResult<Option<(String, u16)>> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(SENTINEL_TIMEOUT))
            .set_response_timeout(Some(SENTINEL_TIMEOUT));
        let mut sentinel = sentinel.get_multiplexed_async_connection_with_config(&config).await?;
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.name).query_async(&mut sentinel).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentinels(text: &str) -> Option<(Vec<String>, String, String, String)> {
        let Some(Place::Sentinel(sentinels)) = Place::parse(text) else { return None };
        let hosts = sentinels.clients.iter().map(|client| client.get_connection_info().addr().to_string());
        Some((hosts.collect(), sentinels.name, sentinels.before, sentinels.after))
    }

    #[test]
    fn sentinels_are_named_with_the_master_they_know() {
        let found = sentinels("redis+sentinel://user:p%40ss@one,two:1234,[::1]/shop/3").unwrap();
        let hosts = ["one:26379", "two:1234", "::1:26379"].map(str::to_owned).to_vec();
        assert_eq!(found, (hosts, "shop".into(), "redis://user:p%40ss@".into(), "/3".into()));
        let found = sentinels("rediss+sentinel://one/shop?sentinel_password=secret").unwrap();
        assert_eq!((&*found.2, &*found.3), ("rediss://", ""));
        for bad in [
            "redis+sentinel://",
            "redis+sentinel://one",
            "redis+sentinel://one/",
            "redis+sentinel:///shop",
            "redis+sentinel://one,/shop",
            "redis+sentinel://one:x/shop",
            "redis+sentinel://one/shop/x",
            "redis+sentinel://one/shop?password=x",
            "redis+sentinels://one/shop",
        ] {
            assert!(Place::parse(bad).is_none(), "{bad}");
        }
    }
}
