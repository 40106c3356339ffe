//! What an error and its causes say, each thing once: the client of an object store repeats in each
//! cause what the one before said, with the page that the server answered.

use std::{error::Error, fmt};

use miette::{Diagnostic, LabeledSpan, Severity, SourceCode};

/// A report without causes that repeat what was said.
pub(super) struct Once<'a> {
    report: &'a dyn Diagnostic,
    text: String,
    cause: Option<Cause>,
}

/// A cause, and what caused it.
#[derive(Debug)]
struct Cause {
    text: String,
    next: Option<Box<Self>>,
}

impl<'a> Once<'a> {
    pub(super) fn of(report: &'a dyn Diagnostic) -> Self {
        let (text, causes) = told(report);
        let cause = causes
            .into_iter()
            .rev()
            .fold(None, |next, text| Some(Cause { text, next: next.map(Box::new) }));
        Self { report, text, cause }
    }
}

/// What an error says, and its causes that say more.
pub(super) fn told(error: &dyn Diagnostic) -> (String, Vec<String>) {
    let text = plain(&error.to_string());
    let mut causes: Vec<String> = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let told = plain(&cause.to_string());
        if !causes.last().unwrap_or(&text).contains(&told) {
            causes.push(told);
        }
        next = cause.source();
    }
    (text, causes)
}

/// A text in which the page of XML that an object store answers is what it says.
fn plain(text: &str) -> String {
    let begin = text.find("<?xml").or_else(|| text.find("<Error>"));
    let end = text.find("</Error>").map(|end| end + "</Error>".len());
    let (Some(begin), Some(end)) = (begin, end) else { return text.to_owned() };
    let (Some(page), Some(before), Some(after)) =
        (text.get(begin..end), text.get(..begin), text.get(end..))
    else {
        return text.to_owned();
    };
    let of = |name: &str| {
        let (_, rest) = page.split_once(&format!("<{name}>"))?;
        Some(rest.split_once(&format!("</{name}>"))?.0.trim())
    };
    let said: Vec<&str> = [of("Code"), of("Message")].into_iter().flatten().collect();
    format!("{before}{}{}", said.join(": "), after.trim_end())
}

impl fmt::Display for Once<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Once<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.report, f)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.next.as_deref().map(|next| next as _)
    }
}

impl Error for Once<'_> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_ref().map(|cause| cause as _)
    }
}

impl Diagnostic for Once<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.report.code()
    }

    fn severity(&self) -> Option<Severity> {
        self.report.severity()
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.report.help()
    }

    fn url<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.report.url()
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.report.source_code()
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.report.labels()
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        self.report.related()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_xml_is_what_it_says() {
        let page = "404 Not Found: <?xml version=\"1.0\"?>\n<Error><Code>NoSuchBucket</Code>\
                    <Message>It is not there</Message><Key>x</Key></Error>\n";
        assert_eq!(plain(page), "404 Not Found: NoSuchBucket: It is not there");
        for same in ["plain", "<Error>", "</Error> <?xml", "<?xml \u{e9}"] {
            assert_eq!(plain(same), same);
        }
    }
}
