//! Who may change what readers see: whoever has the admin key.

use std::{env, fmt, time::Duration};

use axum::http::{HeaderMap, header};
use mesh_core::Digest;
use mesh_serve::Problem;
use miette::Diagnostic;
use subtle::ConstantTimeEq;
use thiserror::Error;
use tokio::sync::Mutex;

/// Characters of a key, at least: shorter ones are guessed.
const SHORTEST: usize = 16;
/// How long a wrong key is waited for, one after another.
const PAUSE: Duration = Duration::from_millis(300);

/// The key that lets somebody make a backfill live, and roll it back. It is kept as its digest.
#[derive(Clone, Copy)]
pub struct AdminKey(Digest);

/// An admin key that is none.
#[derive(Debug, Error, Diagnostic)]
#[error("failed to take the admin key from the environment: {variable} {reason}")]
#[diagnostic(help(
    "set {variable} to at least {SHORTEST} characters, as `openssl rand -hex 16` gives them, or \
     unset it: then nobody can change anything from the page"
))]
pub struct AdminKeyError {
    variable: String,
    reason: &'static str,
}

impl AdminKey {
    /// The key in an environment variable; nothing if the variable is not set.
    ///
    /// # Errors
    /// When it is too short, or not Unicode.
    pub fn from_env(variable: &str) -> Result<Option<Self>, AdminKeyError> {
        let wrong = |reason| AdminKeyError { variable: variable.to_owned(), reason };
        match env::var(variable) {
            Err(env::VarError::NotPresent) => Ok(None),
            Err(env::VarError::NotUnicode(_)) => Err(wrong("is not Unicode")),
            Ok(key) if key.chars().count() < SHORTEST => Err(wrong("is too short")),
            Ok(key) => Ok(Some(Self(Digest::of(key.as_bytes())))),
        }
    }

    /// Whether it is this key, in a time that tells nothing of the key.
    fn is(&self, given: &str) -> bool {
        self.0.as_bytes().ct_eq(Digest::of(given.as_bytes()).as_bytes()).into()
    }
}

/// Keys that were wrong wait here, so that nobody can try many.
#[derive(Default)]
pub(crate) struct Doormat(Mutex<()>);

impl Doormat {
    /// Lets whoever has the key pass.
    pub(crate) async fn pass(
        &self,
        key: Option<&AdminKey>,
        asked: &HeaderMap,
    ) -> Result<(), Problem> {
        let Some(key) = key else {
            let reason = "no admin key is set, so nothing can be changed from here";
            return Err(Problem::Key(reason.into()));
        };
        let given = asked.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some(given) = given.and_then(|value| value.strip_prefix("Bearer ")) else {
            return Err(Problem::Key("send `authorization: Bearer <admin key>`".into()));
        };
        if key.is(given.trim()) {
            return Ok(());
        }
        let _turn = self.0.lock().await;
        tokio::time::sleep(PAUSE).await;
        tracing::warn!("a wrong admin key was given");
        Err(Problem::Key("this is not the admin key".into()))
    }
}

impl fmt::Debug for AdminKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminKey")
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_the_key_passes() {
        let key = AdminKey(Digest::of(b"correct horse battery"));
        let pass = async |key: Option<&AdminKey>, given: Option<&'static str>| {
            let mut asked = HeaderMap::new();
            if let Some(given) = given {
                asked.insert(header::AUTHORIZATION, HeaderValue::from_static(given));
            }
            Doormat::default().pass(key, &asked).await.is_ok()
        };
        assert!(pass(Some(&key), Some("Bearer correct horse battery")).await);
        for given in [
            None,
            Some("correct horse battery"),
            Some("Basic correct horse battery"),
            Some("Bearer "),
            Some("Bearer correct horse batter"),
            Some("Bearer correct horse battery!"),
        ] {
            assert!(!pass(Some(&key), given).await, "{given:?}");
        }
        assert!(!pass(None, Some("Bearer correct horse battery")).await);
    }
}
