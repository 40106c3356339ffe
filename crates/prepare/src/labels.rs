//! How labels are made from what the source holds.

use mesh_core::{manifest::Labels, tags::to_bio};

use crate::{read::Reject, stage::brief};

/// What a label becomes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Mapped {
    Label(String),
    /// In a bin without a name: left out on purpose.
    LeftOut,
}

/// Maps the label of a row.
pub(crate) fn map_label(given: &str, options: &Labels) -> Result<Mapped, Reject> {
    let given = given.trim();
    if let (Some(bins), Some(names)) = (&options.bins, &options.names) {
        let value: f64 =
            given.parse().ok().filter(|value: &f64| value.is_finite()).ok_or_else(|| {
                Reject::new("not-a-number", format!("`{}` is not a number", brief(given)))
            })?;
        // A value on a limit belongs to the bin nearer to zero.
        let above = |limit: &&f64| if **limit > 0.0 { value > **limit } else { value >= **limit };
        let bin = bins.iter().filter(above).count();
        let name = names.get(bin).map(String::as_str).unwrap_or_default();
        return Ok(match name {
            "" => Mapped::LeftOut,
            name => Mapped::Label(name.to_owned()),
        });
    }
    if given.is_empty() {
        return Err(Reject::new("no-label", "the label is empty"));
    }
    let label = options.rename.get(given).map_or(given, String::as_str);
    match &options.allowed {
        Some(allowed) if !allowed.iter().any(|known| known == label) => {
            Err(Reject::new("unknown-label", format!("`{}` is not in `allowed`", brief(label))))
        }
        _ => Ok(Mapped::Label(label.to_owned())),
    }
}

/// Maps the tags of a sentence, one per token, to BIO; both joined by spaces.
pub(crate) fn map_tags(text: &str, given: &str, options: &Labels) -> Result<String, Reject> {
    let tags: Vec<&str> = given.split_whitespace().collect();
    let tokens = text.split(' ').count();
    if tags.len() != tokens {
        let detail = format!("{tokens} tokens after normalisation, {} tags", tags.len());
        return Err(Reject::new("not-a-sequence", detail));
    }
    let bio = to_bio(&tags, options.scheme.unwrap_or_default())
        .map_err(|wrong| Reject::new("not-a-sequence", wrong.to_string()))?;
    let mapped: Result<Vec<String>, Reject> = bio
        .into_iter()
        .map(|tag| {
            let Some((prefix, kind)) = tag.split_once('-') else { return Ok(tag) };
            let kind = options.rename.get(kind).map_or(kind, String::as_str);
            match &options.allowed {
                Some(allowed) if !allowed.iter().any(|known| known == kind) => {
                    let detail = format!("`{}` is not in `allowed`", brief(kind));
                    Err(Reject::new("unknown-label", detail))
                }
                _ => Ok(format!("{prefix}-{kind}")),
            }
        })
        .collect();
    mapped.map(|tags| tags.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_on_a_limit_belongs_to_the_bin_nearer_to_zero() {
        let names = ["negative", "", "positive"].map(String::from).to_vec();
        let options =
            Labels { bins: Some(vec![-0.5, 0.5]), names: Some(names), ..Labels::default() };
        let label = |text: &str| Mapped::Label(text.into());
        let cases = [
            ("-0.51", label("negative")),
            ("-0.5", Mapped::LeftOut),
            ("0", Mapped::LeftOut),
            ("0.5", Mapped::LeftOut),
            (" 0.6 ", label("positive")),
        ];
        for (given, expected) in cases {
            assert_eq!(map_label(given, &options).unwrap(), expected, "{given}");
        }
        for bad in ["", "NaN", "inf", "good"] {
            assert_eq!(map_label(bad, &options).unwrap_err().reason, "not-a-number", "{bad}");
        }
    }
}
