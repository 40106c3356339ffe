//! How many messages may be refused.

use std::collections::{BTreeMap, VecDeque};

use mesh_core::printable;

use crate::{
    BackfillError, BackfillErrorKind, chunk::Made, follow::arrivals::Refused, inputs::text_in,
    job::Job, rejects::DOUBLE_KEY,
};

/// What became of the messages that came last.
#[derive(Debug, Default)]
pub(super) struct Lately {
    batches: VecDeque<Tally>,
}

/// What became of the messages of a batch.
#[derive(Debug, Default)]
struct Tally {
    messages: u64,
    /// Those that are no documents.
    refused: u64,
    /// By project, documents without an answer.
    rejected: BTreeMap<String, u64>,
}

/// Reasons, each with how often it was given, and with the first one in words.
type Reasons = BTreeMap<String, (u64, String)>;

/// Messages from which on the share of refused ones tells something.
const LEAST: u64 = 100;
/// Messages that are looked back on: what is wrong now is not made good by what was right before.
const WINDOW: u64 = 1_000;
/// Reasons that are told, the most frequent ones.
const TOLD: usize = 3;

impl Lately {
    /// Refuses a batch that is not written yet, if too many of the messages that came last are
    /// refused with it: it stays in the stream. `named` stands for what the projects say.
    ///
    /// A document that is there already does not count: whoever sends one twice does no harm.
    pub(super) fn check(
        &mut self,
        job: &Job,
        messages: usize,
        refused: &[Refused],
        made: &[Made],
        named: Option<f64>,
    ) -> Result<(), BackfillError> {
        let refused = || refused.iter().filter(|refused| refused.reason != DOUBLE_KEY);
        let name = |at: usize| job.projects.get(at).map(|p| p.plan.project.to_string());
        let rejected = (0..).zip(made).filter_map(|(at, made)| Some((name(at)?, made)));
        let all = self.take(Tally {
            messages: messages as u64,
            refused: refused().count() as u64,
            rejected: rejected.map(|(name, made)| (name, made.counts.rejected)).collect(),
        });
        for (at, project) in job.projects.iter().enumerate().filter(|_| all >= LEAST) {
            let limit = named.unwrap_or(project.limits.max_rejected);
            let name = &project.plan.project;
            let bad = self.bad(name.as_str());
            #[expect(clippy::cast_precision_loss, reason = "a share of messages")]
            let share = bad as f64 / all as f64;
            if share <= limit {
                continue;
            }
            let kind = BackfillErrorKind::TooManyRefused { refused: bad, messages: all, limit };
            let archive = &job.plan.archive;
            let mut reasons = Reasons::new();
            refused().for_each(|refused| refused_for(&mut reasons, refused));
            let rejects = made.get(at).and_then(|made| made.rejects.as_ref());
            rejects.into_iter().for_each(|rejects| {
                rejected_for(&mut reasons, rejects, &job.plan.key_column);
            });
            let error =
                BackfillError::new(format!("follow the stream by {name}"), kind).help(format!(
                    "the last {messages} of them are left in the stream: mend what sends them, or \
                     what they do not fit, and follow again. `mesh backfill followed {archive}` \
                     shows what was refused before them; `--max-rejected 1` takes them all the same"
                ));
            return Err(match reasons.is_empty() {
                true => error,
                false => error.because(told(reasons)),
            });
        }
        Ok(())
    }

    /// Takes a batch in, and forgets what lies further back; says how many messages there are.
    fn take(&mut self, batch: Tally) -> u64 {
        self.batches.push_back(batch);
        let mut all = self.batches.iter().map(|batch| batch.messages).sum::<u64>();
        while let Some(first) = self.batches.front().filter(|first| all - first.messages >= WINDOW)
        {
            all -= first.messages;
            self.batches.pop_front();
        }
        all
    }

    /// Messages of which a project tells nothing.
    fn bad(&self, project: &str) -> u64 {
        let rejected = |batch: &Tally| batch.rejected.get(project).copied().unwrap_or_default();
        // What is too long to be published may be rejected besides.
        self.batches.iter().map(|b| (b.refused + rejected(b)).min(b.messages)).sum()
    }
}

fn refused_for(reasons: &mut Reasons, refused: &Refused) {
    let Refused { sequence, reason, detail, .. } = refused;
    let first = || (0, format!("message {sequence}: {detail}"));
    reasons.entry(reason.clone()).or_insert_with(first).0 += 1;
}

fn rejected_for(reasons: &mut Reasons, rejects: &arrow_array::RecordBatch, key_column: &str) {
    for row in 0..rejects.num_rows() {
        let text = |name: &str| text_in(rejects, name, row).unwrap_or_default();
        let first = || (0, printable(&format!("`{}`: {}", text(key_column), text("detail"))));
        reasons.entry(text("reason")).or_insert_with(first).0 += 1;
    }
}

fn told(reasons: Reasons) -> String {
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
    let told = reasons.iter().take(TOLD);
    let told = told.map(|(reason, (count, first))| format!("{count} {reason}, as {first}"));
    told.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(messages: u64, refused: u64, rejected: u64) -> Tally {
        Tally { messages, refused, rejected: [("reviews".to_owned(), rejected)].into() }
    }

    #[test]
    fn what_lies_far_back_makes_nothing_good_and_nothing_bad() {
        let mut lately = Lately::default();
        assert_eq!(lately.take(batch(3, 1, 0)), 3);
        for _ in 0..100 {
            lately.take(batch(100, 0, 0));
        }
        let all = lately.take(batch(250, 100, 70));
        assert_eq!((all, lately.bad("reviews"), lately.bad("ner")), (1_050, 170, 100));
        assert_eq!(lately.take(batch(5_000, 0, 0)), 5_000, "a batch stays whole");
        assert_eq!(lately.bad("reviews"), 0);
        lately.take(batch(10, 10, 10));
        assert_eq!(lately.bad("reviews"), 10, "each message counts once");
    }

    #[test]
    fn reasons_are_told_by_how_frequent_they_are() {
        let reason = |count, first: &str| (count, first.to_owned());
        let reasons = [
            ("a".to_owned(), reason(1, "one")),
            ("b".to_owned(), reason(9, "nine")),
            ("c".to_owned(), reason(2, "two")),
            ("d".to_owned(), reason(3, "three")),
        ];
        assert_eq!(told(reasons.into()), "9 b, as nine; 3 d, as three; 2 c, as two");
    }
}
