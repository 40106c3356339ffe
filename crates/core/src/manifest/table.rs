use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[prepare.features]`: the columns by which the task `regression` tells a number. They become
/// the fields of a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FeaturesTable {
    /// Columns of numbers.
    pub numbers: Vec<String>,
    /// Columns of names, of which there are not too many.
    pub categories: Vec<String>,
    /// Columns of days (ISO 8601). The model is told the day of the week, of the month and of the
    /// year, and the month.
    pub dates: Vec<String>,
    /// The most names that a column of `categories` may have; with more the step fails.
    pub max_categories: usize,
    /// How far beyond the numbers and days of the training split a request may be, as a share of
    /// their range: 1 for as far again.
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub margin: f64,
}

/// `[prepare.series]`: the number is one per day (`source.columns.time`), and what it was on days
/// before becomes features: `<label>_lag_7`, `<label>_mean_28`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SeriesTable {
    /// How many days ahead is told: nothing of the days in between becomes a feature.
    #[schemars(range(min = 1, max = 1000))]
    pub horizon: u32,
    /// How many days a season has. The seasonal-naive baseline is the number as many whole seasons
    /// ago as the horizon takes.
    #[schemars(range(min = 1, max = 1000))]
    pub season: u32,
    /// The number so many days ago is a feature; none below the horizon.
    pub lags: Vec<u32>,
    /// The mean over so many days, the last of them as long ago as the horizon, is a feature.
    pub windows: Vec<u32>,
}

impl FeaturesTable {
    /// All columns, each with what it is called in the manifest.
    pub fn columns(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let kinds =
            [("numbers", &self.numbers), ("categories", &self.categories), ("dates", &self.dates)];
        kinds.into_iter().flat_map(|(kind, names)| names.iter().map(move |name| (kind, name)))
    }

    /// What is wrong with its values: the key and a sentence.
    pub(super) fn conflict(&self) -> Option<(&'static str, String)> {
        let mut seen = std::collections::BTreeSet::new();
        if let Some((_, twice)) = self.columns().find(|(_, name)| !seen.insert(name.as_str())) {
            return Some(("prepare.features", format!("the column `{twice}` is named twice")));
        }
        let margin = self.margin;
        (!(0.0..=1000.0).contains(&margin)).then(|| {
            ("prepare.features.margin", format!("`margin` is {margin}; it lies in 0 to 1000"))
        })
    }
}

impl SeriesTable {
    /// The longest look back, in days.
    pub const MAX_DAYS: u32 = 1000;

    /// How many days ago the seasonal-naive baseline is.
    #[must_use]
    pub const fn baseline_lag(&self) -> u32 {
        self.horizon.div_ceil(self.season) * self.season
    }

    /// What is wrong with its values: the key and a sentence.
    pub(super) fn conflict(&self) -> Option<(&'static str, String)> {
        let days = 1..=Self::MAX_DAYS;
        for (key, value) in
            [("prepare.series.horizon", self.horizon), ("prepare.series.season", self.season)]
        {
            if !days.contains(&value) {
                return Some((key, format!("it is {value}; it lies in 1 to {} days", days.end())));
            }
        }
        let near = self.lags.iter().find(|lag| !(self.horizon..=Self::MAX_DAYS).contains(lag));
        if let Some(lag) = near {
            let message = format!(
                "a lag of {lag} days is not known {} days ahead; lags lie in {} to {}",
                self.horizon,
                self.horizon,
                Self::MAX_DAYS
            );
            return Some(("prepare.series.lags", message));
        }
        let wrong = self.windows.iter().find(|window| !days.contains(window));
        wrong.map(|window| {
            let message = format!("a window of {window} days lies not in 1 to {}", days.end());
            ("prepare.series.windows", message)
        })
    }
}

impl Default for FeaturesTable {
    fn default() -> Self {
        Self {
            numbers: Vec::new(),
            categories: Vec::new(),
            dates: Vec::new(),
            max_categories: 1000,
            margin: 1.0,
        }
    }
}

impl Default for SeriesTable {
    fn default() -> Self {
        Self { horizon: 1, season: 7, lags: vec![1, 7, 14, 28], windows: vec![7, 28] }
    }
}
