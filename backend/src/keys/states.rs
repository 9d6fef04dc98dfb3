//! The states of keys and what moves them on: rules only, without a database.
//!
//! A key is pending (published, not signing), then active (it signs), then retiring (it verifies what
//! it signed), then removed. docs/adr/0005 says why, and for how long.

use std::time::Duration;

use crate::{store::Timestamp, token::Algorithm};

/// When the next key is to sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schedule {
    /// When somebody says so.
    Off,
    /// After this time.
    Every(Duration),
}

/// How keys come and go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyRules {
    /// What a new key is for.
    pub algorithm: Algorithm,
    /// When the next key is to sign.
    pub schedule: Schedule,
    /// How long a key is published before it signs: longer than anybody remembers the keys without it.
    pub pending_for: Duration,
    /// How long a key verifies after it signed: longer than its last token lives.
    pub verifies_for: Duration,
}

/// How far the clocks of servers may differ before what one wrote down is taken for a mistake.
const AHEAD: Duration = Duration::from_mins(5);
/// How long others may remember the public keys, at most.
const MAX_AGE: Duration = Duration::from_mins(5);

impl KeyRules {
    /// How long others may remember the public keys: less than a key is published before it signs, by
    /// the time that every instance needs to see it.
    pub fn max_age(&self) -> Duration {
        MAX_AGE.min(self.pending_for / 2)
    }
}

/// Where a key is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Stored before there were states.
    Unplaced,
    /// Published, not signing.
    Pending,
    /// Signing. There is one.
    Active,
    /// Verifying only.
    Retiring,
    /// Gone, and not to come back.
    Removed,
}

impl State {
    /// Its name, for people and programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unplaced => "unplaced",
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Retiring => "retiring",
            Self::Removed => "removed",
        }
    }
}

/// What is known of a key without opening it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its name: its thumbprint.
    pub kid: String,
    /// What it signs with; `None` for an algorithm that this version does not know.
    pub algorithm: Option<Algorithm>,
    /// Where it is on its way.
    pub state: State,
    /// Since when it is there.
    pub since: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What happens to a key next, by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It signs.
    Signs,
    /// Its successor is published.
    SuccessorPublished,
    /// It stops signing.
    Retires,
    /// It is removed.
    Removed,
}

/// One change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// It signs from here on; counted from `at`.
    Activate { kid: String, at: Timestamp },
    /// It stops signing.
    Retire { kid: String },
    /// It verifies nothing any more.
    Remove { kid: String },
    /// It counts from now: what was written down is later than that.
    Redate { kid: String, state: State },
    /// A new key, pending or active.
    Make { state: State, algorithm: Algorithm },
}

impl Step {
    pub(super) fn retire(key: &Key) -> Self {
        let kid = key.kid.clone();
        Self::Retire { kid }
    }

    pub(super) fn remove(key: &Key) -> Self {
        let kid = key.kid.clone();
        Self::Remove { kid }
    }

    pub(super) fn activate(key: &Key, at: Timestamp) -> Self {
        let kid = key.kid.clone();
        Self::Activate { kid, at }
    }

    /// A key in another one's place is of the same algorithm: only [`towards_algorithm`] changes that,
    /// since who asks for a key may have been given another configuration than the servers.
    pub(super) fn succeed(key: &Key, state: State, rules: &KeyRules) -> Self {
        let algorithm = key.algorithm.unwrap_or(rules.algorithm);
        Self::Make { state, algorithm }
    }
}

pub(super) fn of_state(keys: &[Key], state: State) -> Option<&Key> {
    keys.iter().find(|key| key.state == state)
}

/// Puts keys from before there were states in their place: the one that signed goes on, and the others
/// end. The keys as they are then.
pub(super) fn placed(keys: &[Key], rules: &KeyRules, now: Timestamp) -> (Vec<Step>, Vec<Key>) {
    let mut keys = keys.to_vec();
    let fits = |key: &Key| (key.algorithm == Some(rules.algorithm), key.created_at);
    let signed = (of_state(&keys, State::Active).is_none())
        .then(|| keys.iter().filter(|key| key.state == State::Unplaced))
        .and_then(|unplaced| unplaced.max_by_key(|key| fits(key)))
        .map(|key| key.kid.clone());
    let (mut first, mut others) = (Vec::new(), Vec::new());
    for key in &mut keys {
        if key.state != State::Unplaced {
            continue;
        }
        if signed.as_ref() == Some(&key.kid) {
            first.push(Step::activate(key, key.created_at));
            (key.state, key.since) = (State::Active, key.created_at);
        } else {
            others.push(Step::retire(key));
            (key.state, key.since) = (State::Retiring, now);
        }
    }
    first.append(&mut others);
    (first, keys)
}

/// What was written down by a clock that was ahead counts from now: else it would last for as long as
/// that clock was ahead.
fn redated(keys: &mut [Key], now: Timestamp) -> Vec<Step> {
    let is_of_time =
        |key: &Key| matches!(key.state, State::Pending | State::Active | State::Retiring);
    let ahead = keys
        .iter_mut()
        .filter(|key| is_of_time(key) && key.since > now.plus(AHEAD));
    ahead
        .map(|key| {
            key.since = now;
            Step::Redate {
                kid: key.kid.clone(),
                state: key.state,
            }
        })
        .collect()
}

/// What time has made due, in the order in which it has to be done.
pub(super) fn due(keys: &[Key], rules: &KeyRules, now: Timestamp) -> Vec<Step> {
    let (mut steps, mut keys) = placed(keys, rules, now);
    steps.extend(redated(&mut keys, now));
    let keys = &*keys;
    let mut pending = of_state(keys, State::Pending);
    let mut active = of_state(keys, State::Active).map(|key| (key, key.since));

    match (active, pending) {
        (None, None) => steps.push(Step::Make {
            state: State::Active,
            algorithm: rules.algorithm,
        }),
        (None, Some(key)) => {
            steps.push(Step::activate(key, now));
            (active, pending) = (Some((key, now)), None);
        }
        (Some((old, _)), Some(new)) if now >= new.since.plus(rules.pending_for) => {
            steps.push(Step::retire(old));
            steps.push(Step::activate(new, now));
            (active, pending) = (Some((new, now)), None);
        }
        _ => {}
    }
    if let (Some((key, since)), None, Some(lead)) = (active, pending, lead(rules))
        && now >= since.plus(lead)
    {
        steps.push(Step::succeed(key, State::Pending, rules));
    }

    let is_over =
        |key: &&Key| key.state == State::Retiring && now >= key.since.plus(rules.verifies_for);
    steps.extend(keys.iter().filter(is_over).map(Step::remove));
    steps
}

/// How long after a key began to sign its successor is published.
fn lead(rules: &KeyRules) -> Option<Duration> {
    match rules.schedule {
        Schedule::Off => None,
        Schedule::Every(every) => Some(every.saturating_sub(rules.pending_for)),
    }
}

/// What has to be done where another algorithm is configured than the one that signs: the next key is
/// one for it. A pending one for yet another would sign without anybody wanting it.
pub(super) fn towards_algorithm(keys: &[Key], rules: &KeyRules) -> Vec<Step> {
    let is_other = |key: &Key| key.algorithm != Some(rules.algorithm);
    let mut steps = Vec::new();
    let mut pending = of_state(keys, State::Pending);
    if let Some(unwanted) = pending.filter(|key| is_other(key)) {
        steps.push(Step::remove(unwanted));
        pending = None;
    }
    if pending.is_none() && of_state(keys, State::Active).is_some_and(is_other) {
        steps.push(Step::Make {
            state: State::Pending,
            algorithm: rules.algorithm,
        });
    }
    steps
}

/// What happens to a key next by itself, and when.
pub fn next(key: &Key, keys: &[Key], rules: &KeyRules) -> Option<(Next, Timestamp)> {
    match key.state {
        State::Pending => Some((Next::Signs, key.since.plus(rules.pending_for))),
        State::Active => match of_state(keys, State::Pending) {
            Some(pending) => Some((Next::Retires, pending.since.plus(rules.pending_for))),
            None => lead(rules).map(|lead| (Next::SuccessorPublished, key.since.plus(lead))),
        },
        State::Retiring => Some((Next::Removed, key.since.plus(rules.verifies_for))),
        State::Unplaced | State::Removed => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULES: KeyRules = KeyRules {
        algorithm: Algorithm::Es256,
        schedule: Schedule::Every(Duration::from_secs(1000)),
        pending_for: Duration::from_secs(100),
        verifies_for: Duration::from_mins(5),
    };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_secs(seconds)
    }

    fn key(kid: &str, state: State, since: i64) -> Key {
        Key {
            kid: kid.to_owned(),
            algorithm: Some(Algorithm::Es256),
            state,
            since: at(since),
            created_at: at(since),
        }
    }

    /// The steps in short, with the time from which an active key counts.
    fn steps(keys: &[Key], now: i64) -> String {
        in_short(&due(keys, &RULES, at(now)))
    }

    fn in_short(steps: &[Step]) -> String {
        let words: Vec<_> = steps
            .iter()
            .map(|step| match step {
                Step::Activate { kid, at } => format!("activate {kid} {}", at.as_secs()),
                Step::Retire { kid } => format!("retire {kid}"),
                Step::Remove { kid } => format!("remove {kid}"),
                Step::Redate { kid, .. } => format!("redate {kid}"),
                Step::Make { state, algorithm } => {
                    format!("make {} {}", state.as_str(), algorithm.as_str())
                }
            })
            .collect();
        words.join(", ")
    }

    #[test]
    fn first_key_signs_at_once() {
        assert_eq!(steps(&[], 0), "make active ES256");
    }

    #[test]
    fn next_key_is_published_in_time_and_signs_when_everybody_knows_it() {
        let one = [key("a", State::Active, 0)];
        assert_eq!(steps(&one, 899), "");
        assert_eq!(steps(&one, 900), "make pending ES256");

        let two = [key("a", State::Active, 0), key("b", State::Pending, 900)];
        assert_eq!(steps(&two, 999), "");
        assert_eq!(steps(&two, 1000), "retire a, activate b 1000");

        let after = [
            key("a", State::Retiring, 1000),
            key("b", State::Active, 1000),
        ];
        assert_eq!(steps(&after, 1299), "");
        assert_eq!(steps(&after, 1300), "remove a");
    }

    #[test]
    fn key_that_was_late_is_published_all_the_same_before_it_signs() {
        // Nothing ran for a long time.
        assert_eq!(
            steps(&[key("a", State::Active, 0)], 9_999),
            "make pending ES256"
        );
    }

    #[test]
    fn without_a_schedule_nothing_moves_but_what_was_begun() {
        let rules = KeyRules {
            schedule: Schedule::Off,
            ..RULES
        };
        let one = [key("a", State::Active, 0)];
        assert!(due(&one, &rules, at(1_000_000)).is_empty());
        let begun = [key("a", State::Active, 0), key("b", State::Pending, 10)];
        assert_eq!(due(&begun, &rules, at(110)).len(), 2);
    }

    #[test]
    fn of_keys_from_before_states_the_newest_of_the_algorithm_signs_on() {
        let mut newest = key("c", State::Unplaced, 30);
        newest.algorithm = Some(Algorithm::EdDsa);
        let keys = [
            key("a", State::Unplaced, 10),
            key("b", State::Unplaced, 20),
            newest,
        ];

        assert_eq!(steps(&keys, 40), "activate b 20, retire a, retire c");
    }

    #[test]
    fn pending_key_takes_the_place_of_one_that_is_gone() {
        let keys = [key("a", State::Removed, 5), key("b", State::Pending, 5)];

        assert_eq!(steps(&keys, 6), "activate b 6");
    }

    #[test]
    fn other_algorithm_comes_by_rotation_and_an_unwanted_pending_key_goes() {
        let rules = KeyRules {
            algorithm: Algorithm::EdDsa,
            ..RULES
        };
        let towards = |keys: &[Key]| in_short(&towards_algorithm(keys, &rules));
        let mut wanted = key("c", State::Pending, 10);
        wanted.algorithm = Some(Algorithm::EdDsa);
        let (active, pending) = (key("a", State::Active, 0), key("b", State::Pending, 10));

        assert_eq!(towards(std::slice::from_ref(&active)), "make pending EdDSA");
        assert_eq!(
            towards(&[active.clone(), pending]),
            "remove b, make pending EdDSA"
        );
        assert_eq!(towards(&[active, wanted]), "");
        assert_eq!(towards(&[]), "");
    }

    #[test]
    fn what_a_clock_wrote_that_was_ahead_counts_from_now() {
        let keys = |ahead| {
            [
                key("a", State::Active, ahead),
                key("b", State::Pending, ahead),
                key("c", State::Retiring, ahead),
                key("d", State::Removed, ahead),
            ]
        };

        assert_eq!(steps(&keys(300), 0), "");
        assert_eq!(steps(&keys(301), 0), "redate a, redate b, redate c");
    }

    #[test]
    fn schedule_keeps_the_algorithm_that_signs() {
        let mut active = key("a", State::Active, 0);
        active.algorithm = Some(Algorithm::EdDsa);

        assert_eq!(steps(&[active], 900), "make pending EdDSA");
    }

    #[test]
    fn next_says_what_due_does() {
        let pending = [key("a", State::Active, 0), key("b", State::Pending, 900)];
        assert_eq!(
            next(&pending[0], &pending, &RULES),
            Some((Next::Retires, at(1000)))
        );
        assert_eq!(
            next(&pending[1], &pending, &RULES),
            Some((Next::Signs, at(1000)))
        );
        let alone = [key("a", State::Active, 0)];
        assert_eq!(
            next(&alone[0], &alone, &RULES),
            Some((Next::SuccessorPublished, at(900)))
        );
        let retiring = key("a", State::Retiring, 50);
        assert_eq!(next(&retiring, &[], &RULES), Some((Next::Removed, at(350))));
        assert_eq!(next(&key("a", State::Removed, 50), &[], &RULES), None);
    }

    /// What the database does with the steps.
    fn carry_out(keys: &mut Vec<Key>, steps: &[Step], now: Timestamp) {
        for step in steps {
            let mut set = |kid: &str, state, since| {
                let key = keys.iter_mut().find(|key| key.kid == kid).unwrap();
                (key.state, key.since) = (state, since);
            };
            match step {
                Step::Activate { kid, at } => set(kid, State::Active, *at),
                Step::Retire { kid } => set(kid, State::Retiring, now),
                Step::Remove { kid } => set(kid, State::Removed, now),
                Step::Redate { kid, state } => set(kid, *state, now),
                Step::Make { state, .. } => {
                    let kid = keys.len().to_string();
                    keys.push(key(&kid, *state, now.as_secs()));
                }
            }
        }
    }

    proptest! {
        /// However irregularly time passes: one key signs, at most one is pending, none signs that was
        /// not published for long enough, and none goes that signed a moment ago.
        #[test]
        fn rotation_keeps_its_promises(pauses in proptest::collection::vec(1_i64..400, 1..120)) {
            let mut keys = Vec::new();
            let mut now = at(0);
            let first = due(&keys, &RULES, now);
            carry_out(&mut keys, &first, now);
            for pause in pauses {
                now = now.plus(Duration::from_secs(pause.unsigned_abs()));
                let before = keys.clone();
                let steps = due(&keys, &RULES, now);
                carry_out(&mut keys, &steps, now);

                let count = |state| keys.iter().filter(|key| key.state == state).count();
                prop_assert_eq!(count(State::Active), 1);
                prop_assert!(count(State::Pending) <= 1);
                for (old, new) in before.iter().zip(&keys) {
                    if old.state != State::Active && new.state == State::Active {
                        prop_assert_eq!(old.state, State::Pending);
                        prop_assert!(now.since(old.since) >= RULES.pending_for);
                    }
                    if old.state != State::Removed && new.state == State::Removed {
                        prop_assert_eq!(old.state, State::Retiring);
                        prop_assert!(now.since(old.since) >= RULES.verifies_for);
                    }
                }
                let lives: Vec<_> = keys.iter().filter(|key| key.state != State::Removed).collect();
                prop_assert!(lives.len() <= 4, "{lives:?}");
            }
        }
    }
}
