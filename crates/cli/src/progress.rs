//! Progress bars for work that takes over a second.

use std::time::Duration;

use indicatif::{
    HumanFloatCount, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle,
};
use mesh_core::{Progress, ProgressTask, Unit};

/// Draws on standard error, if that is a terminal.
pub(crate) struct Bars {
    all: MultiProgress,
}

struct Bar(ProgressBar);

const TICK: Duration = Duration::from_millis(120);

impl Bars {
    pub(crate) fn new(quiet: bool) -> Self {
        let target =
            if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        Self { all: MultiProgress::with_draw_target(target) }
    }

    /// Prints a line above the bars.
    pub(crate) fn line(&self, text: &str) {
        self.all.suspend(|| crate::output::line(text));
    }
}

impl Progress for Bars {
    fn begin(&self, label: &str, total: Option<u64>, unit: Unit) -> Box<dyn ProgressTask> {
        let template = match (total, unit) {
            (Some(_), Unit::Bytes) => {
                "  {msg:32} {bar:24} {bytes:>10} of {total_bytes} {bytes_per_sec}, {eta} left"
            }
            (Some(_), Unit::Items) => {
                "  {msg:32} {bar:24} {human_pos:>10} of {human_len} {rate}, {eta} left"
            }
            (None, Unit::Bytes) => "  {msg:32} {spinner} {bytes:>10} {bytes_per_sec}, {elapsed}",
            (None, Unit::Items) => "  {msg:32} {spinner} {human_pos:>10} {rate}, {elapsed}",
        };
        let style = ProgressStyle::with_template(template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .with_key("rate", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                let _ = write!(out, "{}/s", HumanFloatCount(state.per_sec().round()));
            })
            .progress_chars("=> ");
        let bar = match total {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::new_spinner(),
        };
        let bar = self.all.add(bar.with_style(style).with_message(label.to_owned()));
        bar.enable_steady_tick(TICK);
        Box::new(Bar(bar))
    }
}

impl ProgressTask for Bar {
    fn advance(&self, amount: u64) {
        self.0.inc(amount);
    }

    fn note(&self, text: &str) {
        self.0.set_message(text.to_owned());
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
