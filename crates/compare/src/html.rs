//! A difference as a page of its own: no script, nothing from outside.

use std::fmt::Write;

use html_escape::encode_text;

use crate::{
    DiffReport,
    report::Slice,
    terminal::{cells, interval, labels, share, verdict},
};

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1c2430;--soft:#5b6675;--line:#d9dee6;--back:#fff;--heat:41,98,190}\
@media (prefers-color-scheme:dark){:root{--ink:#e7ebf1;--soft:#9aa5b4;--line:#333c49;--back:#151a21;--heat:96,156,255}}\
body{margin:0 auto;max-width:64rem;padding:1.5rem;background:var(--back);color:var(--ink);font:16px/1.5 system-ui,sans-serif}\
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}p{margin:.4rem 0}\
.wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}\
caption{text-align:left;color:var(--soft);padding:.2rem 0}\
th,td{padding:.25rem .6rem;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}\
th[scope=row],th.text,td.text{text-align:left}td.long{white-space:normal;min-width:18rem;overflow-wrap:anywhere}\
td.same{outline:1px solid var(--line)}.big{font-size:1.6rem;font-weight:600}\
.facts{display:flex;flex-wrap:wrap;gap:1rem 2.5rem}.facts div span{display:block;color:var(--soft);font-size:.9rem}";

impl DiffReport {
    /// The report as a page.
    #[must_use]
    pub fn html(&self, title: &str) -> String {
        let mut out = String::new();
        let title = encode_text(title);
        // Writing to a string does not fail.
        let _ = write!(
            out,
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
             content=\"width=device-width,initial-scale=1\"><title>{title}</title>\
             <style>{STYLE}</style></head><body><main>\n{}</main></body></html>\n",
            self.section(&title)
        );
        out
    }

    fn section(&self, title: &str) -> String {
        let mut out = String::new();
        let _ = self.write_section(&mut out, title);
        out
    }

    fn write_section(&self, out: &mut String, title: &str) -> std::fmt::Result {
        writeln!(out, "<h1>{title}</h1><div class=\"facts\">")?;
        let mut fact = |name: &str, value: String| {
            writeln!(out, "<div><span>{name}</span><b class=\"big\">{value}</b></div>")
        };
        fact("compared", self.compared.to_string())?;
        fact("changed", self.changed.to_string())?;
        fact("gained", self.gained.to_string())?;
        fact("lost", self.lost.to_string())?;
        if let Some(flips) = &self.flips {
            fact("labels flipped", format!("{:.2}%", flips.share * 100.0))?;
        }
        writeln!(out, "</div>")?;
        if let Some(flips) = &self.flips {
            writeln!(out, "<p>Labels flipped: {}.</p>", share(flips))?;
        }
        let quantiles = &self.quantiles;
        writeln!(
            out,
            "<p>Size of a change: mean {}; half up to {:.4}, 90% up to {:.4}, 99% up to {:.4}, at \
             most {:.4}.</p>",
            interval(&self.change),
            quantiles.p50,
            quantiles.p90,
            quantiles.p99,
            quantiles.most
        )?;
        if let Some(drift) = &self.drift {
            writeln!(out, "<p>Drift of scores: mean {}.</p>", interval(drift))?;
        }
        self.write_truth(out)?;
        self.write_heat(out)?;
        for (dimension, slices) in &self.slices {
            write_slices(out, dimension, slices)?;
        }
        self.write_examples(out)
    }

    fn write_truth(&self, out: &mut String) -> std::fmt::Result {
        let Some(truth) = &self.truth else { return Ok(()) };
        writeln!(
            out,
            "<h2>Which is better</h2><p>On {} documents with a true label the new version is \
             <b>{}</b>.</p><table><caption>Beside the truth</caption><tr><th class=\"text\" \
             scope=\"col\">measure</th><th scope=\"col\">before</th><th scope=\"col\">after</th><th \
             scope=\"col\">gain</th></tr>",
            truth.rows,
            verdict(truth.verdict)
        )?;
        let rows = [
            ("accuracy", truth.accuracy_before, truth.accuracy_after, &truth.accuracy_gain),
            ("macro F1", truth.macro_f1_before, truth.macro_f1_after, &truth.macro_f1_gain),
        ];
        for (name, before, after, gain) in rows {
            writeln!(
                out,
                "<tr><th scope=\"row\">{name}</th><td>{before:.4}</td><td>{after:.4}</td><td>{}</td>\
                 </tr>",
                interval(gain)
            )?;
        }
        writeln!(out, "</table>")
    }

    fn write_heat(&self, out: &mut String) -> std::fmt::Result {
        let (labels, cells) = (labels(&self.matrix), cells(&self.matrix));
        if labels.is_empty() {
            return Ok(());
        }
        writeln!(
            out,
            "<h2>Labels</h2><div class=\"wide\"><table><caption>Documents by label before (rows) \
             and after (columns)</caption><tr><th class=\"text\" scope=\"col\">before</th>"
        )?;
        labels
            .iter()
            .try_for_each(|label| write!(out, "<th scope=\"col\">{}</th>", encode_text(label)))?;
        writeln!(out, "</tr>")?;
        for before in &labels {
            let row: u64 =
                labels.iter().filter_map(|after| cells.get(&(*before, *after))).sum::<u64>().max(1);
            write!(out, "<tr><th scope=\"row\">{}</th>", encode_text(before))?;
            for after in &labels {
                let rows = cells.get(&(*before, *after)).copied().unwrap_or_default();
                #[expect(clippy::cast_precision_loss, reason = "a shade")]
                let shade = rows as f64 / row as f64 * 0.7;
                let class = if before == after { " class=\"same\"" } else { "" };
                write!(
                    out,
                    "<td{class} style=\"background:rgba(var(--heat),{shade:.3})\">{rows}</td>"
                )?;
            }
            writeln!(out, "</tr>")?;
        }
        writeln!(out, "</table></div>")
    }

    fn write_examples(&self, out: &mut String) -> std::fmt::Result {
        if self.examples.is_empty() {
            return Ok(());
        }
        writeln!(
            out,
            "<h2>Largest changes</h2><div class=\"wide\"><table><caption>Documents that changed \
             most</caption><tr><th class=\"text\" scope=\"col\">key</th><th class=\"text\" \
             scope=\"col\">text</th><th class=\"text\" scope=\"col\">before</th><th class=\"text\" \
             scope=\"col\">after</th><th scope=\"col\">change</th></tr>"
        )?;
        for example in &self.examples {
            let told = |label: &Option<String>, prediction: &str| match label {
                Some(label) => encode_text(label).into_owned(),
                None => encode_text(prediction).into_owned(),
            };
            writeln!(
                out,
                "<tr><th scope=\"row\">{}</th><td class=\"text long\" dir=\"auto\">{}</td><td \
                 class=\"text long\">{}</td><td class=\"text long\">{}</td><td>{:.4}</td></tr>",
                encode_text(&example.key),
                encode_text(&example.text),
                told(&example.before, &example.prediction_before),
                told(&example.after, &example.prediction_after),
                example.size
            )?;
        }
        writeln!(out, "</table></div>")
    }
}

fn write_slices(out: &mut String, dimension: &str, slices: &[Slice]) -> std::fmt::Result {
    let name = encode_text(dimension);
    writeln!(
        out,
        "<h2>By {name}</h2><div class=\"wide\"><table><caption>Changes by {name}</caption><tr><th \
         class=\"text\" scope=\"col\">{name}</th><th scope=\"col\">documents</th><th \
         scope=\"col\">flips</th><th scope=\"col\">change</th><th scope=\"col\">drift</th></tr>"
    )?;
    for slice in slices {
        writeln!(
            out,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            encode_text(&slice.value),
            slice.rows,
            slice
                .flips
                .as_ref()
                .map(|flips| format!("{:.2}%", flips.share * 100.0))
                .unwrap_or_default(),
            interval(&slice.change),
            slice.drift.as_ref().map(interval).unwrap_or_default()
        )?;
    }
    writeln!(out, "</table></div>")
}

#[cfg(test)]
mod tests {
    use mesh_core::manifest::TaskName;
    use serde_json::json;

    use crate::{Diff, DiffOptions, RowFacts};

    #[test]
    fn what_people_wrote_is_never_markup() {
        let mut diff = Diff::new(TaskName::TextClassification, DiffOptions::default());
        let bad = "<script>alert(1)</script>";
        let slices = [("language", bad.to_owned())];
        let facts = RowFacts { key: bad, text: Some(bad), slices: &slices, truth: Some("a") };
        let label = |label: &str| json!({ "labels": [{ "label": label, "score": 1.0 }] });
        diff.both(&facts, &label("a"), &label(bad));
        diff.gained(&facts);
        let report = diff.report();
        let page = report.html(bad);
        assert!(!page.contains("<script"), "{page}");
        assert_eq!(page.matches("&lt;script&gt;").count(), 8, "{page}");
        let text = report.text();
        for part in [
            "compared 1: 0 the same, 1 changed; 1 gained, 0 lost",
            "label flips     1 of 1",
            "by language",
            "not different beyond chance",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn a_slice_tells_its_flips_and_not_its_documents_as_flips() {
        let mut diff = Diff::new(TaskName::TextClassification, DiffOptions::default());
        let label = |label: &str| json!({ "labels": [{ "label": label, "score": 1.0 }] });
        for row in 0..1_000 {
            let key = row.to_string();
            let slices = [("edition", "first".to_owned())];
            let facts = RowFacts { key: &key, text: None, slices: &slices, truth: None };
            diff.both(&facts, &label("a"), &label(if row < 98 { "b" } else { "a" }));
        }
        let text = diff.report().text();
        for part in ["label flips     98 of 1000 (9.80%", "1000 documents, flips 98 (9.80% ["] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(diff.report().html("").contains("<p>Labels flipped: 98 of 1000 (9.80% ["));
    }

    #[test]
    fn what_is_much_stays_bounded() {
        let options = DiffOptions { examples: 3, slice_values: 5 };
        let mut diff = Diff::new(TaskName::TextClassification, options);
        let label =
            |label: String, score: f64| json!({ "labels": [{ "label": label, "score": score }] });
        for row in 0..3_000u32 {
            let key = row.to_string();
            let slices = [("source", format!("s{row}"))];
            let facts = RowFacts { key: &key, text: None, slices: &slices, truth: None };
            let before = label(format!("l{}", row % 200), 0.5);
            let after = label(format!("l{}", row % 200), 0.5 + f64::from(row) / 10_000.0);
            diff.both(&facts, &before, &after);
        }
        let report = diff.report();
        assert_eq!((report.compared, report.same), (3_000, 1));
        assert!(report.matrix.len() <= 101, "{}", report.matrix.len());
        let sources = &report.slices["source"];
        assert!(sources.len() <= 6, "{sources:?}");
        assert_eq!(sources.iter().map(|slice| slice.rows).sum::<u64>(), 3_000);
        let keys: Vec<&str> = report.examples.iter().map(|example| example.key.as_str()).collect();
        assert_eq!(keys, ["2999", "2998", "2997"]);
    }
}
