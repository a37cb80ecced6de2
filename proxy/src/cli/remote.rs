//! The commands that ask a running interlay through its admin port.

use std::error::Error;
use std::fmt;
use std::io;
use std::str::FromStr;
use std::time::Duration;

use axum::body::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::http::uri::Authority;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use interlay_routing::Policy;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::runtime;

use super::{Exit, Remote};
use crate::admin::api::{CurrentPolicy, ErrorBody, SetPolicy};
use crate::admin::audit::WHO;
use crate::out;
use crate::status::Status;

/// How long an answer may take: longer than the admin port itself waits for the data plane.
const ANSWER_WAIT: Duration = Duration::from_secs(35);

/// Bytes of an answer; a status has a few thousand, and a list of error keys a few million at most.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Why there is no answer.
pub(super) type Cause = Box<dyn Error + Send + Sync>;

/// Where an admin port is: `http://host:port` or `host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AdminUrl(Authority);

impl FromStr for AdminUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected http://host:port or host:port";
        let place = text.strip_prefix("http://").unwrap_or(text);
        let authority: Authority = place.strip_suffix('/').unwrap_or(place).parse().map_err(|_| EXPECTED)?;
        let whole = !authority.host().is_empty() && authority.port_u16().is_some() && !authority.as_str().contains('@');
        if whole { Ok(Self(authority)) } else { Err(EXPECTED) }
    }
}

impl fmt::Display for AdminUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.0)
    }
}

/// How a command ended, and what is to be said about it.
#[derive(Debug)]
pub(crate) struct Outcome {
    exit: Exit,
    /// A result for standard output, or a complaint for standard error.
    said: Result<String, String>,
}

impl Outcome {
    pub(super) fn new(exit: Exit, said: Result<String, String>) -> Self {
        Self { exit, said }
    }

    /// Says it.
    pub(crate) fn print(self) -> Exit {
        match self.said {
            Ok(result) if result.is_empty() => {}
            Ok(result) => out::say(result),
            Err(complaint) => out::complain(complaint),
        }
        self.exit
    }
}

/// `interlay status`.
pub(crate) fn status(remote: &Remote) -> Outcome {
    run(remote, "/api/v1/status", None::<()>, |now: Status| now.to_string().trim_end().to_owned())
}

/// `interlay policy [P]`.
pub(crate) fn policy(remote: &Remote, policy: Option<Policy>, force: bool) -> Outcome {
    let change = policy.map(|policy| SetPolicy { policy, force });
    run(remote, "/api/v1/policy", change, |now: CurrentPolicy| format!("the policy is {}", now.policy))
}

/// Reads `path`, or puts `change` there.
fn run<T: DeserializeOwned>(remote: &Remote, path: &str, change: Option<impl Serialize>, words: impl Fn(T) -> String) -> Outcome {
    in_runtime(remote, async { conclude(&exchange(&remote.admin, path, change).await?, remote.json, words) })
}

/// With `json` the answer is said as it is, else in words: a good one in `words`, an error in its own.
pub(super) fn conclude<T: DeserializeOwned>(answer: &Answer, json: bool, words: impl Fn(T) -> String) -> Result<Outcome, Cause> {
    let exit = answer.exit();
    // Read in either case: what does not read is no answer of an interlay.
    let said = match exit {
        Exit::Done => Ok(words(answer.read()?)),
        _ => Err(answer.read::<ErrorBody>().map(|no| format!("{} ({})", no.error, no.hint))?),
    };
    Ok(Outcome { exit, said: if json { Ok(answer.text()) } else { said } })
}

/// Runs one command's exchanges to their end.
pub(super) fn in_runtime(remote: &Remote, command: impl Future<Output = Result<Outcome, Cause>>) -> Outcome {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let ended = runtime.map_err(Cause::from).and_then(|runtime| runtime.block_on(command));
    ended.unwrap_or_else(|cause| Outcome {
        exit: Exit::Unreachable,
        said: Err(format!("no interlay answers at {}: {cause}; is it serving, and is --admin its admin port?", remote.admin)),
    })
}

/// What the admin port answered.
pub(super) struct Answer {
    code: StatusCode,
    body: Bytes,
}

impl Answer {
    pub(super) fn exit(&self) -> Exit {
        match self.code {
            code if code.is_success() => Exit::Done,
            StatusCode::BAD_REQUEST => Exit::Usage,
            StatusCode::CONFLICT | StatusCode::NOT_FOUND => Exit::No,
            _ => Exit::Unreachable,
        }
    }

    /// The JSON of its body.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Cause> {
        Ok(serde_json::from_slice(&self.body)?)
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Who asks: the user and the host's name, as the environment tells.
fn who() -> String {
    let told = |name| std::env::var(name).ok().filter(|value| !value.is_empty() && value.chars().all(|char| char.is_ascii_graphic()));
    told("USER").or_else(|| told("LOGNAME")).unwrap_or_else(|| "interlay".to_owned())
}

/// One request on a connection of its own.
pub(super) async fn exchange(admin: &AdminUrl, path: &str, change: Option<impl Serialize>) -> Result<Answer, Cause> {
    let request = match change {
        Some(change) => Request::put(path).body(serde_json::to_vec(&change)?),
        None => Request::get(path).body(Vec::new()),
    };
    send(ANSWER_WAIT, admin, request?).await
}

/// PUT, on a connection of its own, with a time of its own for the answer.
pub(super) async fn put_within(wait: Duration, admin: &AdminUrl, path: &str, change: impl Serialize) -> Result<Answer, Cause> {
    send(wait, admin, Request::put(path).body(serde_json::to_vec(&change)?)?).await
}

/// DELETE, on a connection of its own.
pub(super) async fn delete(admin: &AdminUrl, path: &str) -> Result<Answer, Cause> {
    send(ANSWER_WAIT, admin, Request::delete(path).body(Vec::new())?).await
}

async fn send(wait: Duration, admin: &AdminUrl, request: Request<Vec<u8>>) -> Result<Answer, Cause> {
    let mut request = request.map(|body| Full::new(Bytes::from(body)));
    request.headers_mut().insert(HOST, admin.0.as_str().parse()?);
    request.headers_mut().insert(WHO, who().parse()?);
    let exchange = async {
        let stream = TcpStream::connect(admin.0.as_str()).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Ends with the runtime, which lives as long as the command.
        tokio::spawn(connection);
        let (head, body) = sender.send_request(request).await?.into_parts();
        Ok(Answer { code: head.status, body: Limited::new(body, ANSWER_BYTES_MAX).collect().await?.to_bytes() })
    };
    tokio::time::timeout(wait, exchange).await.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use tokio::net::TcpListener;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::admin;
    use crate::admin::tests::{data_plane, unasked};
    use crate::cli::repair;
    use crate::status::tests::mirroring;

    fn at(address: SocketAddr) -> Remote {
        Remote { admin: address.to_string().parse().unwrap(), json: false }
    }

    #[test]
    fn exit_code_says_how_it_went() {
        let served = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = served.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let remote = at(listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let stopped = shutdown.clone();
        let port =
            served.spawn(async move { admin::serve(listener, data_plane(mirroring()), unasked(), Arc::default(), None, stopped).await });

        assert_eq!(status(&remote).exit, Exit::Done);
        let traffic = |percent, force| crate::cli::traffic::set(&remote, percent, None, force);
        assert_eq!(traffic(None, false).said.unwrap(), "25 % of the reads go to the target");
        let refused = traffic(Some(50), false);
        assert_eq!((refused.exit, refused.said.unwrap_err().as_str()), (Exit::No, "not proved; --force (nothing has changed)"));
        assert_eq!(traffic(Some(50), true).exit, Exit::Done);
        assert_eq!(policy(&remote, Some(Policy::BestEffort), false).exit, Exit::Done);
        let json = policy(&Remote { json: true, ..remote.clone() }, None, false);
        assert_eq!(json.said.unwrap(), r#"{"policy":"best-effort"}"#);

        let left = repair::repair(&remote, true, false);
        let why = left.said.unwrap_err();
        assert_eq!((left.exit, why.lines().count()), (Exit::No, 3), "{why}");
        assert_eq!(repair::repair(&remote, true, true).exit, Exit::Done);
        let listed = crate::cli::errors::list(&Remote { json: true, ..remote.clone() }, 1000);
        assert_eq!((listed.exit, listed.said.unwrap().lines().count()), (Exit::Done, 2));

        shutdown.cancel();
        served.block_on(port).unwrap();
        assert_eq!(status(&remote).exit, Exit::Unreachable);
    }

    #[test]
    fn server_that_is_no_admin_port_counts_as_none() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let remote = at(listener.local_addr().unwrap());
        let other = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            io::Write::write_all(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").unwrap();
            stream
        });
        assert_eq!(status(&remote).exit, Exit::Unreachable);
        other.join().unwrap();
    }
}
