use std::{env, fmt, str::FromStr};

use miette::Diagnostic;
use thiserror::Error;

use super::Layout;

/// A CPU and a precision that an encoder is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Target {
    /// Any CPU, in f32.
    PortableF32,
    /// x86-64 with AVX2 and FMA, in f32.
    Avx2F32,
    /// x86-64 with AVX-512, in f32.
    Avx512F32,
    /// x86-64 with AVX-512 BF16 (AMD since Zen 4, Intel since Cooper Lake), in bf16.
    Avx512Bf16,
    /// x86-64 with AMX (Intel since Sapphire Rapids), in bf16.
    AmxBf16,
}

/// A target that cannot be used here.
#[derive(Debug, Clone, PartialEq, Eq, Error, Diagnostic)]
#[non_exhaustive]
pub enum TargetError {
    /// The CPU lacks its instructions, or the operating system does not allow them.
    #[error("failed to use the target {0}: this machine does not have its instructions")]
    #[diagnostic(help("`mesh doctor` lists the targets of this machine"))]
    Unavailable(Target),
    /// There is no such target.
    #[error("failed to use the target `{0}`: there is none of that name")]
    #[diagnostic(help("targets of encoders are {}", Target::names()))]
    Unknown(String),
    /// The target that [`Target::VARIABLE`] forces cannot be used.
    #[error("{} is `{given}`", Target::VARIABLE)]
    #[diagnostic(help(
        "unset it for the best target; targets of encoders are {}, of which `mesh doctor` lists \
         those of this machine",
        Target::names()
    ))]
    Forced {
        /// What the variable says.
        given: String,
        /// What is wrong with it.
        source: Box<TargetError>,
    },
    /// The model was not compiled for the target that [`Target::VARIABLE`] forces.
    #[error("{} is `{forced}`: the model is compiled for {compiled}", Target::VARIABLE)]
    #[diagnostic(help("add it to `targets` in [compile] and run again, or unset the variable"))]
    NotCompiled {
        /// The target that is forced.
        forced: Target,
        /// Those that there are.
        compiled: String,
    },
}

impl Target {
    /// The variable that forces a target, for tests and comparisons.
    pub const VARIABLE: &str = "MESH_TARGET";

    /// All targets, the plainest first.
    pub const ALL: [Self; 5] =
        [Self::PortableF32, Self::Avx2F32, Self::Avx512F32, Self::Avx512Bf16, Self::AmxBf16];

    /// The target as it is written in manifests.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PortableF32 => "portable-f32",
            Self::Avx2F32 => "avx2-f32",
            Self::Avx512F32 => "avx512-f32",
            Self::Avx512Bf16 => "avx512-bf16",
            Self::AmxBf16 => "amx-bf16",
        }
    }

    /// The names of all targets, for messages.
    #[must_use]
    pub fn names() -> String {
        Self::ALL.map(Self::as_str).join(", ")
    }

    /// Whether this machine has the instructions.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            Self::PortableF32 => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2F32 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512F32 => is_x86_feature_detected!("avx512f"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512bf16")
            }
            #[cfg(target_arch = "x86_64")]
            Self::AmxBf16 => super::amx::allowed(),
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    /// The targets of this machine, the fastest first.
    #[must_use]
    pub fn available() -> Vec<Self> {
        Self::ALL.into_iter().rev().filter(|target| target.is_available()).collect()
    }

    /// The fastest target of this machine; [`Target::VARIABLE`] overrules it.
    ///
    /// # Errors
    /// When the variable names no target, or one that this machine does not have.
    pub fn native() -> Result<Self, TargetError> {
        match Self::forced()? {
            Some(forced) => Ok(forced),
            None => Ok(Self::available().first().copied().unwrap_or(Self::PortableF32)),
        }
    }

    /// As [`Target::native`], of the targets in f32.
    ///
    /// # Errors
    /// When the variable names no target, or one that this machine does not have.
    pub fn native_f32() -> Result<Self, TargetError> {
        let exact = |target: &Self| target.layout() == Layout::F32;
        match Self::forced()?.filter(exact) {
            Some(forced) => Ok(forced),
            None => Ok(Self::available().into_iter().find(exact).unwrap_or(Self::PortableF32)),
        }
    }

    /// The place of the best of some targets for this machine, given by their names: the one that
    /// [`Target::VARIABLE`] forces if it is among them, else the fastest. A name that is none of
    /// an encoder's runs everywhere. Whether the forced one must be among them, only the caller
    /// knows: models without an encoder have targets of their own.
    #[must_use]
    pub fn best_of(names: &[&str]) -> Option<usize> {
        let forced = Self::forced().ok().flatten();
        let rank = |name: &str| match name.parse::<Self>() {
            Ok(target) if Some(target) == forced => Some(usize::MAX),
            Ok(target) if target.is_available() => {
                Self::ALL.iter().position(|known| *known == target)
            }
            Ok(_) => None,
            Err(_) => Some(0),
        };
        let ranked = names.iter().enumerate().filter_map(|(at, name)| Some((rank(name)?, at)));
        ranked.max_by_key(|(rank, _)| *rank).map(|(_, at)| at)
    }

    /// Checks that an encoder's target is the one that [`Target::VARIABLE`] forces, if it is set.
    ///
    /// # Errors
    /// When it is another, or the variable names no target, or one that this machine does not have.
    pub fn check_forced(chosen: &str, names: &[&str]) -> Result<(), TargetError> {
        match Self::forced()? {
            Some(forced) if forced.as_str() != chosen => {
                Err(TargetError::NotCompiled { forced, compiled: names.join(", ") })
            }
            _ => Ok(()),
        }
    }

    /// The target that [`Target::VARIABLE`] forces, if it is set; `native` forces none.
    ///
    /// # Errors
    /// When it names no target, or one that this machine does not have.
    pub fn forced() -> Result<Option<Self>, TargetError> {
        let given = env::var(Self::VARIABLE).unwrap_or_default();
        if given.is_empty() || given == "native" {
            return Ok(None);
        }
        let target = given.parse::<Self>().and_then(|target| match target.is_available() {
            true => Ok(target),
            false => Err(TargetError::Unavailable(target)),
        });
        target.map(Some).map_err(|source| TargetError::Forced { given, source: source.into() })
    }

    pub(crate) const fn layout(self) -> Layout {
        match self {
            Self::PortableF32 | Self::Avx2F32 | Self::Avx512F32 => Layout::F32,
            Self::Avx512Bf16 | Self::AmxBf16 => Layout::Bf16,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(given: &str) -> Result<Self, TargetError> {
        let known = Self::ALL.into_iter().find(|target| target.as_str() == given);
        known.ok_or_else(|| TargetError::Unknown(given.to_owned()))
    }
}
