//! How things end, in closed lists.

use std::marker::PhantomData;

use prometheus_client::{
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// One label, whose value is one of ours.
pub(super) type Label = [(&'static str, &'static str); 1];

/// A closed list of ways in which something ends.
pub trait Outcome: Copy + 'static {
    /// All of them.
    const ALL: &'static [Self];

    /// The label's value.
    fn as_str(self) -> &'static str;

    /// The place in [`Outcome::ALL`].
    fn index(self) -> usize;
}

macro_rules! outcomes {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$of])* $variant,)*
        }

        impl Outcome for $name {
            const ALL: &'static [Self] = &[$(Self::$variant,)*];

            fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }

            fn index(self) -> usize {
                self as usize
            }
        }
    };
}

outcomes! {
    /// What a guard said to an access token.
    TokenCheck {
        /// It is genuine, and its session lives.
        Accepted = "accepted",
        /// It is not one of ours.
        Invalid = "invalid",
        /// Its time is over.
        Expired = "expired",
        /// Its session is over.
        Revoked = "revoked",
        /// Nobody could say.
        Unavailable = "unavailable",
    }
}

outcomes! {
    /// How an attempt to sign in ended.
    SignInOutcome {
        /// Signed in.
        Success = "success",
        /// Unknown address or wrong password.
        InvalidCredentials = "invalid_credentials",
        /// Too many failures before.
        Limited = "limited",
        /// Too many others at once.
        Overloaded = "overloaded",
        /// A fault of ours, or of the database.
        Failed = "failed",
    }
}

outcomes! {
    /// How an attempt to create an account ended.
    RegisterOutcome {
        /// There is an account more.
        Success = "success",
        /// The address has one.
        EmailTaken = "email_taken",
        /// Only the operator makes accounts.
        Closed = "closed",
        /// Too many before.
        Limited = "limited",
        /// Too many others at once.
        Overloaded = "overloaded",
        /// A fault of ours, or of the database.
        Failed = "failed",
    }
}

outcomes! {
    /// What became of a refresh token.
    RefreshOutcome {
        /// It was spent for a new pair.
        Rotated = "rotated",
        /// It was spent a moment ago, and got the same pair again.
        Repeated = "repeated",
        /// It was used before, so its session was ended.
        Reused = "reused",
        /// It is not known, or its session is over.
        Invalid = "invalid",
        /// Too many before.
        Limited = "limited",
        /// A fault of ours, or of the database.
        Failed = "failed",
    }
}

outcomes! {
    /// Why a session was ended before its time.
    SessionEnd {
        /// Somebody signed out of it.
        SignOut = "sign_out",
        /// Somebody ended it from the list, or all sessions at once.
        SignOutElsewhere = "sign_out_elsewhere",
        /// A refresh token of it was used a second time.
        Reuse = "reuse",
        /// It was the oldest, and its account had too many.
        TooMany = "too_many",
    }
}

outcomes! {
    /// What was wrong with the database.
    DatabaseFault {
        /// It is away, busy or full.
        Unavailable = "unavailable",
        /// It refused what we asked.
        Internal = "internal",
    }
}

/// A counter for each outcome, there from the start: who watches for the first one needs a zero
/// before it.
#[derive(Debug)]
pub(super) struct Outcomes<O> {
    counters: Vec<Counter>,
    of: PhantomData<O>,
}

impl<O: Outcome> Outcomes<O> {
    pub(super) fn register(
        registry: &mut Registry,
        name: &str,
        help: &str,
        label: &'static str,
    ) -> Self {
        let family = Family::<Label, Counter>::default();
        let counters = O::ALL
            .iter()
            .map(|outcome| family.get_or_create_owned(&[(label, outcome.as_str())]))
            .collect();
        registry.register(name, help, family);
        Self {
            counters,
            of: PhantomData,
        }
    }

    pub(super) fn count(&self, outcome: O, number: u64) {
        if let Some(counter) = self.counters.get(outcome.index()) {
            counter.inc_by(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places<O: Outcome>() -> Vec<usize> {
        O::ALL.iter().map(|outcome| outcome.index()).collect()
    }

    #[test]
    fn every_outcome_has_its_own_place() {
        assert_eq!(places::<RefreshOutcome>(), [0, 1, 2, 3, 4, 5]);
        assert_eq!(places::<SessionEnd>(), [0, 1, 2, 3]);
    }
}
