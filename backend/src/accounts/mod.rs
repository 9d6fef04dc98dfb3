//! Accounts: making them and finding them.

pub(crate) mod http;
mod store;

use countersign_types::{Email, EmailError, Password, PasswordError, PasswordRules};

use crate::{
    app::App,
    limits::{AddressPrefix, Limited},
    metrics::RegisterOutcome,
    password::{self, HashError, PasswordHash},
    rng,
    sessions::{self, IssueError, Issued, Opening},
    store::{AccountId, StoreError, Timestamp, Tx, retrying},
};

/// Somebody who can sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its id, for ever.
    pub id: AccountId,
    /// Its address as it was typed.
    pub email: String,
    /// When the address was confirmed.
    pub email_verified_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// An account, and from when on the tokens hold that hang on nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The account.
    pub account: Account,
    /// A token without a session, as flask-jwt-extended issues them, is over where it was issued
    /// before this.
    pub tokens_valid_from: Timestamp,
}

/// An account with what its password is checked against.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The account.
    pub account: Account,
    /// Its password's hash.
    pub password_hash: PasswordHash,
}

/// Who may make an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    /// Anybody.
    Open,
    /// The operator, with `countersign user create`.
    Closed,
}

/// An address and a password that may become an account: both hold their rules.
#[derive(Debug)]
pub struct NewAccount {
    email: Email,
    password: Password,
}

/// What does not hold of a new account's fields, all at once, so that nobody mends a form twice.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the address or the password does not hold")]
pub struct NewAccountErrors {
    /// Why the address is none.
    pub email: Option<EmailError>,
    /// Why the password may not be used.
    pub password: Option<PasswordError>,
}

impl NewAccount {
    /// Reads the address, and checks the password against the rules and the list of common ones.
    ///
    /// # Errors
    ///
    /// [`NewAccountErrors`] names every rule that does not hold.
    pub fn parse(
        rules: &PasswordRules,
        email: &str,
        password: Password,
    ) -> Result<Self, NewAccountErrors> {
        let email = Email::parse(email);
        let checked = password::check_new(rules, password.expose(), email.as_ref().ok());
        match (email, checked) {
            (Ok(email), Ok(())) => Ok(Self { email, password }),
            (email, checked) => Err(NewAccountErrors {
                email: email.err(),
                password: checked.err(),
            }),
        }
    }
}

/// Why no account was made.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// Only the operator makes accounts here.
    #[error("registration is closed")]
    Closed,
    /// The address has an account.
    #[error("the address is taken")]
    EmailTaken,
    /// Too many from there.
    #[error(transparent)]
    Limited(#[from] Limited),
    /// The password could not be hashed now.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The account was made, but no token could be.
    #[error(transparent)]
    Issue(#[from] IssueError),
}

/// Makes an account by its owner's wish and signs it in, where registration is open.
///
/// # Errors
///
/// [`RegisterError`] says why there is no new account.
pub async fn register(
    app: &App,
    new: NewAccount,
    from: AddressPrefix,
    opening: &Opening,
) -> Result<Issued, RegisterError> {
    let registered = try_register(app, new, from, opening).await;
    app.metrics.registration(match &registered {
        Ok(_) => RegisterOutcome::Success,
        Err(RegisterError::EmailTaken) => RegisterOutcome::EmailTaken,
        Err(RegisterError::Closed) => RegisterOutcome::Closed,
        Err(RegisterError::Limited(_)) => RegisterOutcome::Limited,
        Err(RegisterError::Hash(HashError::Overloaded)) => RegisterOutcome::Overloaded,
        Err(RegisterError::Hash(_) | RegisterError::Store(_) | RegisterError::Issue(_)) => {
            RegisterOutcome::Failed
        }
    });
    registered
}

async fn try_register(
    app: &App,
    new: NewAccount,
    from: AddressPrefix,
    opening: &Opening,
) -> Result<Issued, RegisterError> {
    if app.registration != Registration::Open {
        return Err(RegisterError::Closed);
    }
    app.limits.register(&new.email, from)?;
    // Asked before hashing, so that a taken address costs no processor time; whoever registers it
    // meanwhile is caught by the insert.
    let mut tx = app.db.read().await?;
    let taken = find_credentials(&mut tx, &new.email).await?.is_some();
    drop(tx);
    if taken {
        return Err(RegisterError::EmailTaken);
    }

    let hash = app.hasher.hash(new.password.expose()).await?;
    let account = Account::new(app, &new.email);
    // Before it is written down: where the application cannot say it, nothing has happened.
    let own = sessions::grant(app, &account).await?;
    let (email, hash, account) = (&new.email, &hash, &account);
    let opened = retrying(|| async move {
        let mut tx = app.db.write().await?;
        if !store::insert(&mut tx, account, &email.key(), hash).await? {
            return Ok(None);
        }
        let opened = sessions::open(&mut tx, app, account.id, opening).await?;
        tx.commit().await?;
        Ok(Some(opened))
    });
    let opened = opened.await?.ok_or(RegisterError::EmailTaken)?;
    Ok(sessions::issue(app, account, &opened, own)?)
}

/// Makes an account by the operator's wish, whatever the policy says.
///
/// # Errors
///
/// [`RegisterError`] where the address is taken or something failed.
pub async fn create_by_operator(app: &App, new: NewAccount) -> Result<Account, RegisterError> {
    let hash = app.hasher.hash(new.password.expose()).await?;
    let account = Account::new(app, &new.email);
    let mut tx = app.db.write().await?;
    let is_inserted = store::insert(&mut tx, &account, &new.email.key(), &hash).await?;
    tx.commit().await?;
    is_inserted
        .then_some(account)
        .ok_or(RegisterError::EmailTaken)
}

impl Account {
    /// One that is not written down yet.
    fn new(app: &App, email: &Email) -> Self {
        let now = app.clock.now();
        Self {
            id: rng::id(now).into(),
            email: email.as_str().to_owned(),
            email_verified_at: None,
            created_at: now,
        }
    }
}

/// The account of an address, with its hash.
///
/// # Errors
///
/// [`StoreError`] where the database fails.
pub async fn find_credentials(
    tx: &mut Tx,
    email: &Email,
) -> Result<Option<Credentials>, StoreError> {
    store::find_credentials(tx, &email.key()).await
}

/// The account of an id.
///
/// # Errors
///
/// [`StoreError`] where the database fails.
pub async fn find(tx: &mut Tx, id: AccountId) -> Result<Option<Account>, StoreError> {
    store::find(tx, id).await
}

/// The account of an id, as far as tokens hang on it.
///
/// # Errors
///
/// [`StoreError`] where the database fails.
pub async fn find_standing(tx: &mut Tx, id: AccountId) -> Result<Option<Standing>, StoreError> {
    store::find_standing(tx, id).await
}

/// The account of an address, as far as tokens hang on it.
///
/// # Errors
///
/// [`StoreError`] where the database fails.
pub async fn find_standing_by_email(
    tx: &mut Tx,
    email: &Email,
) -> Result<Option<Standing>, StoreError> {
    store::find_standing_by_email(tx, &email.key()).await
}

/// From here on the tokens of an account that hang on no session are over.
///
/// # Errors
///
/// [`StoreError`] where the database fails.
pub async fn end_tokens(tx: &mut Tx, id: AccountId, now: Timestamp) -> Result<(), StoreError> {
    store::end_tokens(tx, id, now).await
}

/// Replaces a hash by one of today's parameters, unless it was replaced meanwhile.
///
/// # Errors
///
/// [`StoreError`] where the database fails.
pub async fn rehash(
    tx: &mut Tx,
    id: AccountId,
    old: &PasswordHash,
    new: &PasswordHash,
) -> Result<(), StoreError> {
    store::replace_hash(tx, id, old, new).await
}
