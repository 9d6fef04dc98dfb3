//! What the server has enabled, asked once and again where that failed.

use countersign_types::{
    PasswordRules,
    accounts::{AuthConfig, Registration},
};
use leptos::{prelude::*, task::spawn_local};

use crate::api;

/// What is enabled. Cheap to copy.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    config: RwSignal<Option<AuthConfig>>,
    is_asking: StoredValue<bool>,
}

impl Settings {
    /// Asks the server and puts itself into the context.
    pub fn provide() -> Self {
        let settings = Self {
            config: RwSignal::new(None),
            is_asking: StoredValue::new(false),
        };
        settings.ask();
        provide_context(settings);
        settings
    }

    /// The settings in the context.
    ///
    /// # Panics
    ///
    /// Where no component above called [`Settings::provide`].
    pub fn expect() -> Self {
        expect_context()
    }

    /// Asks, unless the answer is known or on its way. Without an answer the pages offer all there
    /// is, and the server's word counts.
    pub fn ask(self) {
        if self.is_asking.get_value() || self.config.with_untracked(Option::is_some) {
            return;
        }
        self.is_asking.set_value(true);
        spawn_local(async move {
            let answer = api::config().await;
            self.is_asking.set_value(false);
            if let Ok(config) = answer {
                self.config.set(Some(config));
            }
        });
    }

    /// Whether the server said that nobody may create an account.
    pub fn is_registration_closed(self) -> bool {
        self.config.with(|config| {
            config
                .as_ref()
                .is_some_and(|config| config.registration != Registration::Open)
        })
    }

    /// How long a password must be.
    pub fn password_rules(self) -> PasswordRules {
        self.config.with(|config| {
            config
                .as_ref()
                .map_or_else(PasswordRules::default, |config| config.password)
        })
    }
}
