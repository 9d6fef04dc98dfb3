//! Numbers for whoever runs this: what happened how often, and how much is going on now.
//!
//! Every label has a closed list of values, or is a route as the router has it: no path, address, id
//! or token of anybody can become one. What happens often costs an atomic addition; a request also
//! two look-ups by its route. Knows neither axum nor SQL; the registry is a value, so that two
//! servers in one process count apart.

pub(crate) mod http;
mod outcomes;
mod process;
mod scrape;

use std::{sync::Arc, time::Duration};

use countersign_types::ProblemCode;
use prometheus_client::{
    encoding::{EncodeLabelSet, prometheus_text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

pub use self::outcomes::{
    DatabaseFault, Outcome, RefreshOutcome, RegisterOutcome, SessionEnd, SignInOutcome, TokenCheck,
};
use self::outcomes::{Label, Outcomes};
use crate::{limits::Limits, password::Hasher, store::Db};

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Histogram, fn() -> Histogram>,
    in_flight: Gauge,
    problems: Family<Label, Counter>,
    token_checks: Outcomes<TokenCheck>,
    sign_ins: Outcomes<SignInOutcome>,
    registrations: Outcomes<RegisterOutcome>,
    refreshes: Outcomes<RefreshOutcome>,
    sessions_ended: Outcomes<SessionEnd>,
    database_errors: Outcomes<DatabaseFault>,
    tokens_issued: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: String,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
}

impl Metrics {
    /// Nothing has happened yet. What is going on in the others is asked of them when somebody
    /// reads.
    pub fn new(hasher: Hasher, limits: Arc<Limits>, db: Db) -> Self {
        let mut all = Registry::default();
        all.register_collector(Box::new(process::Process));
        let registry = all.sub_registry_with_prefix("countersign");
        registry.register_collector(Box::new(scrape::Scrape { hasher, limits, db }));

        let requests = Family::default();
        registry.register(
            "http_requests",
            "Requests that were answered, by what answered them; dropped where the client left before",
            requests.clone(),
        );
        let durations = Family::new_with_constructor(seconds as fn() -> Histogram);
        registry.register_with_unit(
            "http_request_duration",
            "How long requests took until their answer began",
            Unit::Seconds,
            durations.clone(),
        );
        let in_flight = Gauge::default();
        registry.register(
            "http_requests_in_flight",
            "Requests that wait for their answer now",
            in_flight.clone(),
        );
        let problems = Family::<Label, Counter>::default();
        for code in ProblemCode::ALL {
            drop(problems.get_or_create(&[("code", code.as_str())]));
        }
        registry.register(
            "problems",
            "Requests that were refused or failed, by the code of the answer",
            problems.clone(),
        );
        let tokens_issued = Counter::default();
        registry.register(
            "tokens_issued",
            "Access tokens that were issued",
            tokens_issued.clone(),
        );
        Self {
            token_checks: Outcomes::register(
                registry,
                "token_checks",
                "Access tokens that guards were shown, by what they said",
                "result",
            ),
            sign_ins: Outcomes::register(
                registry,
                "sign_ins",
                "Attempts to sign in by password, by how they ended",
                "result",
            ),
            registrations: Outcomes::register(
                registry,
                "registrations",
                "Attempts to create an account, by how they ended",
                "result",
            ),
            refreshes: Outcomes::register(
                registry,
                "refreshes",
                "Refresh tokens that were shown for a new pair, by what became of them",
                "result",
            ),
            sessions_ended: Outcomes::register(
                registry,
                "sessions_ended",
                "Sessions that were ended before their time, by why",
                "reason",
            ),
            database_errors: Outcomes::register(
                registry,
                "database_errors",
                "Requests that failed because of the database, by whether it was away or refused",
                "kind",
            ),
            registry: all,
            requests,
            durations,
            in_flight,
            problems,
            tokens_issued,
        }
    }

    /// A guard was shown an access token.
    pub fn token_check(&self, outcome: TokenCheck) {
        self.token_checks.count(outcome, 1);
    }

    /// Somebody tried to sign in.
    pub fn sign_in(&self, outcome: SignInOutcome) {
        self.sign_ins.count(outcome, 1);
    }

    /// Somebody tried to create an account.
    pub fn registration(&self, outcome: RegisterOutcome) {
        self.registrations.count(outcome, 1);
    }

    /// Somebody showed a refresh token for a new pair.
    pub fn refresh(&self, outcome: RefreshOutcome) {
        self.refreshes.count(outcome, 1);
    }

    /// So many sessions were ended.
    pub fn sessions_ended(&self, why: SessionEnd, number: usize) {
        self.sessions_ended.count(why, number as u64);
    }

    /// An access token was issued.
    pub fn token_issued(&self) {
        self.tokens_issued.inc();
    }

    /// Something failed because of the database.
    pub fn database_error(&self, fault: DatabaseFault) {
        self.database_errors.count(fault, 1);
    }

    /// An answer was a problem.
    fn problem(&self, code: ProblemCode) {
        self.problems
            .get_or_create(&[("code", code.as_str())])
            .inc();
    }

    /// A request begins.
    fn begin(self: &Arc<Self>, method: &'static str, route: &str) -> Running {
        self.in_flight.inc();
        Running {
            metrics: Arc::clone(self),
            method,
            route: route.to_owned(),
            status: DROPPED,
        }
    }

    /// All of it, as Prometheus reads it.
    fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a `String` cannot fail.
        prometheus_text::encode(&mut text, &self.registry).ok();
        text
    }
}

/// The status of a request whose client left before it was answered.
const DROPPED: &str = "dropped";

/// A request that waits for its answer. Counted when it is dropped, which also happens where the
/// client leaves.
#[derive(Debug)]
struct Running {
    metrics: Arc<Metrics>,
    method: &'static str,
    route: String,
    status: &'static str,
}

impl Running {
    /// The answer begins.
    fn end(mut self, status: &'static str, after: Duration) {
        self.status = status;
        let route = self.route.clone();
        self.metrics
            .durations
            .get_or_create(&RouteLabels { route })
            .observe(after.as_secs_f64());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let labels = RequestLabels {
            method: self.method,
            route: std::mem::take(&mut self.route),
            status: self.status,
        };
        self.metrics.requests.get_or_create(&labels).inc();
        self.metrics.in_flight.dec();
    }
}

/// From half a millisecond, which a guarded request takes, over a hash's tens of milliseconds to the
/// time after which a request is cut.
fn seconds() -> Histogram {
    Histogram::new([
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::ManualClock, store::Timestamp};

    async fn metrics() -> (tempfile::TempDir, Arc<Metrics>) {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open_sqlite(&folder.path().join("test.db"))
            .await
            .unwrap();
        let clock = Arc::new(ManualClock::at(Timestamp::from_secs(0)));
        let limits = Limits::new(clock, 1.0, Duration::from_mins(15));
        let metrics = Metrics::new(Hasher::start().unwrap(), limits.into(), db);
        (folder, metrics.into())
    }

    #[tokio::test]
    async fn request_whose_client_leaves_is_dropped_and_waits_no_longer() {
        let (_folder, metrics) = metrics().await;
        let running = metrics.begin("GET", "/auth/me");
        assert!(
            metrics
                .text()
                .contains("countersign_http_requests_in_flight 1\n")
        );

        drop(running);

        let text = metrics.text();
        assert!(text.contains("countersign_http_requests_in_flight 0\n"));
        let line =
            r#"countersign_http_requests_total{method="GET",route="/auth/me",status="dropped"} 1"#;
        assert!(text.contains(line), "{text}");
        assert!(
            !text.contains("duration_seconds_count{"),
            "it has no duration"
        );
    }

    #[tokio::test]
    async fn duration_falls_into_the_bucket_above_it() {
        let (_folder, metrics) = metrics().await;

        metrics
            .begin("POST", "/auth")
            .end("2xx", Duration::from_millis(30));

        let text = metrics.text();
        for (bucket, count) in [("0.025", 0), ("0.05", 1), ("30", 1), ("+Inf", 1)] {
            let line = format!(
                r#"countersign_http_request_duration_seconds_bucket{{route="/auth",le="{bucket}"}} {count}"#
            );
            assert!(text.contains(&line), "{line}\n{text}");
        }
    }

    #[tokio::test]
    async fn two_in_one_process_count_apart() {
        let (_one_folder, one) = metrics().await;
        let (_other_folder, other) = metrics().await;

        one.sign_in(SignInOutcome::Success);

        let line = "countersign_sign_ins_total{result=\"success\"}";
        assert!(one.text().contains(&format!("{line} 1")));
        assert!(other.text().contains(&format!("{line} 0")));
    }
}
