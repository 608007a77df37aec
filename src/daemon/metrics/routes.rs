//! What is asked, and what is answered.

use std::net::IpAddr;

use http_body_util::{Channel, Either, Full};
use hyper::body::{Body, Bytes};
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::Authority;
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::broadcast;

use super::page::{PAGE, policy};
use super::source::{Kind, Source};
use super::stream::{self, Call};
use crate::control::Event;
use crate::daemon::held::Text;
use crate::daemon::seats::{Seats, Stage};

/// The most who follow what happens at a time: some screens.
const MAX_FOLLOWERS: usize = 32;
/// How many frames wait for their reader.
const WAITING: usize = 4;

const HTML: &str = "text/html; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";
/// The type of OpenMetrics 1.0, and of the text format before it.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const CLASSIC: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What every answer says to a browser: it is nobody else's to embed or to keep, and nothing but what it is said to be.
const HEADERS: [(&str, &str); 5] = [
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cache-control", "no-store"),
];

pub(super) type Answer = Response<Either<Full<Bytes>, Channel<Bytes>>>;

/// What is behind an address.
#[derive(Clone, Debug)]
pub(super) struct Web {
    source: Source,
    events: broadcast::Sender<Event>,
    /// What the operator calls it.
    name: Option<String>,
    policy: HeaderValue,
    followers: Seats<IpAddr>,
}

impl Web {
    /// Shows what `source` says and what happens, to whoever calls this machine by an address, `localhost` or `name`.
    pub(super) fn new(source: Source, events: broadcast::Sender<Event>, name: Option<String>) -> Self {
        Self {
            source,
            events,
            name,
            policy: HeaderValue::from_str(&policy()).expect("the policy is letters and signs of ASCII"),
            followers: Seats::default(),
        }
    }

    /// Answers a request.
    pub(super) async fn answer<B: Body>(&self, request: &Request<B>, call: &Call) -> Answer {
        call.reach(Stage::Answered);
        let mut answer = self.choose(request, call).await;
        let headers = answer.headers_mut();
        for (name, value) in HEADERS {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers.insert("content-security-policy", self.policy.clone());
        answer
    }

    async fn choose<B: Body>(&self, request: &Request<B>, call: &Call) -> Answer {
        if !self.is_ours(request) {
            return refusal(
                StatusCode::MISDIRECTED_REQUEST,
                "call this by its address, by localhost, or by the name in the setting Metrics\n",
            );
        }
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut refused = refusal(StatusCode::METHOD_NOT_ALLOWED, "this can only be read\n");
            refused
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        match request.uri().path() {
            "/" => whole(HTML, PAGE),
            "/metrics" => self.metrics(request.headers(), call).await,
            "/api/status" => self.text(JSON, Kind::Status, call).await,
            "/api/events" => self.follow(request.method(), call),
            _ => refusal(
                StatusCode::NOT_FOUND,
                "there are /, /metrics, /api/status and /api/events\n",
            ),
        }
    }

    /// Returns whether it is asked for by a name that nobody else can give it: a page from elsewhere, whose name was made to lead here,
    /// gets nothing (DNS rebinding).
    fn is_ours<B>(&self, request: &Request<B>) -> bool {
        let mut named = request.headers().get_all(HOST).iter();
        let (Some(host), None) = (named.next(), named.next()) else {
            return false;
        };
        let authority = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
        let Some(authority) = authority else { return false };
        let host = authority.host().to_ascii_lowercase();
        let address = host.trim_start_matches('[').trim_end_matches(']');
        address.parse::<IpAddr>().is_ok() || host == "localhost" || self.name.as_ref() == Some(&host)
    }

    async fn metrics(&self, headers: &HeaderMap, call: &Call) -> Answer {
        if wants_classic(headers) {
            self.text(CLASSIC, Kind::Classic, call).await
        } else {
            self.text(OPEN_METRICS, Kind::OpenMetrics, call).await
        }
    }

    async fn text(&self, name: &'static str, kind: Kind, call: &Call) -> Answer {
        let Some(shown) = self.source.ask().await else {
            return silence();
        };
        let text: Text = shown.text(kind).read_by(call.over());
        whole(name, text.to_bytes())
    }

    fn follow(&self, method: &Method, call: &Call) -> Answer {
        if method == Method::HEAD {
            return whole(EVENTS, "");
        }
        let Some(seat) = self.followers.take(call.source(), MAX_FOLLOWERS) else {
            return refusal(StatusCode::SERVICE_UNAVAILABLE, "too many follow what happens\n");
        };
        seat.reach(Stage::Following);
        call.reach(Stage::Following);
        let (to, body) = Channel::new(WAITING);
        let events = self.events.subscribe();
        tokio::spawn(stream::tell(to, self.source.clone(), events, call.clone(), seat));
        typed(EVENTS, Either::Right(body))
    }
}

/// Returns whether somebody reads the text format and does not know OpenMetrics.
fn wants_classic(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let accepted: Vec<&str> = accepted.collect();
    let names = |kind: &str| accepted.iter().any(|value| value.contains(kind));
    names("text/plain") && !names("application/openmetrics-text")
}

fn silence() -> Answer {
    refusal(StatusCode::SERVICE_UNAVAILABLE, "WireGuard does not answer\n")
}

fn refusal(code: StatusCode, text: &'static str) -> Answer {
    let mut answer = whole(PLAIN, text);
    *answer.status_mut() = code;
    answer
}

fn whole(kind: &'static str, body: impl Into<Bytes>) -> Answer {
    typed(kind, Either::Left(Full::new(body.into())))
}

fn typed(kind: &'static str, body: Either<Full<Bytes>, Channel<Bytes>>) -> Answer {
    let mut answer = Response::new(body);
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}
