use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The name of a project: its folder, its route and its namespace.
///
/// 1 to 63 characters, lower-case letters, digits and single hyphens, a letter first and no
/// hyphen last, so that it is a valid DNS label, path segment and Kubernetes name as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProjectName(String);

/// A name that points at a model version: `production`, `candidate`, `shadow`, or one's own.
///
/// The same alphabet as [`ProjectName`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Alias(String);

/// The version of a project's model: 1, 2, 3 and so on.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "u32", into = "u32")]
pub struct ModelVersion(u32);

/// The version of the contract of requests and responses: the `1` in `/v1/predict`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "u32", into = "u32")]
pub struct ApiVersion(#[schemars(range(min = 1))] u32);

/// A name or version that cannot be one, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} `{given}` is not valid: {reason}")]
pub struct NameError {
    what: &'static str,
    given: String,
    reason: &'static str,
}

const LABEL_MAX: usize = 63;
const LABEL_RULE: &str = "use 1 to 63 lower-case letters, digits and single hyphens, starting \
                          with a letter and not ending with a hyphen";

fn check_label(what: &'static str, given: &str) -> Result<(), NameError> {
    let alphabet = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let valid = given.len() <= LABEL_MAX
        && given.starts_with(|c: char| c.is_ascii_lowercase())
        && !given.ends_with('-')
        && !given.contains("--")
        && given.chars().all(alphabet);
    if valid {
        return Ok(());
    }
    Err(NameError { what, given: given.chars().take(80).collect(), reason: LABEL_RULE })
}

fn check_version(what: &'static str, given: u32) -> Result<u32, NameError> {
    if given == 0 {
        return Err(NameError { what, given: "0".into(), reason: "versions start at 1" });
    }
    Ok(given)
}

macro_rules! label {
    ($type:ident, $what:literal, $description:literal) => {
        impl $type {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(given: &str) -> Result<Self, NameError> {
                check_label($what, given)?;
                Ok(Self(given.to_owned()))
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;

            fn try_from(given: String) -> Result<Self, NameError> {
                check_label($what, &given)?;
                Ok(Self(given))
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "description": $description,
                    "pattern": "^[a-z][a-z0-9]*(-[a-z0-9]+)*$",
                    "maxLength": LABEL_MAX,
                })
            }
        }
    };
}

macro_rules! version {
    ($type:ident, $what:literal) => {
        impl $type {
            /// The first version.
            pub const FIRST: Self = Self(1);

            /// The version as a number, 1 or higher.
            #[must_use]
            pub const fn get(self) -> u32 {
                self.0
            }

            /// The version after this one.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl TryFrom<u32> for $type {
            type Error = NameError;

            fn try_from(given: u32) -> Result<Self, NameError> {
                check_version($what, given).map(Self)
            }
        }

        impl From<$type> for u32 {
            fn from(version: $type) -> Self {
                version.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(given: &str) -> Result<Self, NameError> {
                let digits = given.strip_prefix('v').unwrap_or(given);
                let reason = "use a whole number from 1, as in `3` or `v3`";
                let error = || NameError { what: $what, given: given.to_owned(), reason };
                check_version($what, digits.parse().map_err(|_| error())?).map(Self)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

label!(ProjectName, "the project name", "The project's name: its folder, its route, its namespace");
label!(Alias, "the alias", "A name that points at a model version");
version!(ModelVersion, "the model version");
version!(ApiVersion, "the API version");

impl Alias {
    /// The alias that answers requests.
    #[must_use]
    pub fn production() -> Self {
        Self("production".into())
    }

    /// The alias of the newest version that does not answer yet.
    #[must_use]
    pub fn candidate() -> Self {
        Self("candidate".into())
    }
}

impl Default for ApiVersion {
    fn default() -> Self {
        Self::FIRST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_labels() {
        let long = "a".repeat(LABEL_MAX + 1);
        for bad in ["", "News", "news_topic", "-a", "a-", "a--b", "1a", "../etc", "a/b", &long] {
            assert!(bad.parse::<ProjectName>().is_err(), "{bad:?} must be refused");
        }
        for good in ["a", "news-topic", "t5", "a1-b2"] {
            assert!(good.parse::<ProjectName>().is_ok(), "{good:?} must be taken");
        }
    }

    #[test]
    fn versions_start_at_one() {
        assert!("0".parse::<ModelVersion>().is_err());
        assert!("-1".parse::<ModelVersion>().is_err());
        assert_eq!("v3".parse::<ModelVersion>().map(ModelVersion::get), Ok(3));
        assert!(serde_json::from_str::<ApiVersion>("0").is_err());
    }
}
