use std::cell::RefCell;

use html5ever::{
    tendril::StrTendril,
    tokenizer::{BufferQueue, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, states},
};

/// The text of a piece of HTML, by the tokens of the HTML standard: tags and comments are gone,
/// scripts and styles with what is in them, entities are decoded, and what tags of blocks part is
/// parted by a line break.
#[must_use]
pub fn html_text(html: &str) -> String {
    let queue = BufferQueue::default();
    queue.push_back(StrTendril::from_slice(html));
    let tokenizer = Tokenizer::new(Sink::default(), Default::default());
    let _ = tokenizer.feed(&queue);
    tokenizer.end();
    tokenizer.sink.text.into_inner()
}

#[derive(Default)]
struct Sink {
    text: RefCell<String>,
    /// The element whose text is none: a script, a style.
    hidden: RefCell<Option<String>>,
}

/// Elements inside of a line: their tags part no words.
const INLINE: [&str; 22] = [
    "a", "abbr", "b", "bdi", "bdo", "cite", "code", "data", "em", "font", "i", "kbd", "mark", "q",
    "s", "small", "span", "strong", "sub", "sup", "u", "wbr",
];

impl TokenSink for Sink {
    type Handle = ();

    fn process_token(&self, token: Token, _: u64) -> TokenSinkResult<()> {
        let mut hidden = self.hidden.borrow_mut();
        match token {
            Token::CharacterTokens(characters) if hidden.is_none() => {
                self.text.borrow_mut().push_str(&characters);
            }
            Token::TagToken(tag) => {
                let (name, starts) = (tag.name.to_string(), tag.kind == TagKind::StartTag);
                if hidden.as_deref() == Some(name.as_str()) && !starts {
                    *hidden = None;
                } else if !INLINE.contains(&name.as_str()) {
                    self.text.borrow_mut().push('\n');
                }
                // What follows these is no HTML until they end.
                let raw = match name.as_str() {
                    "script" if starts => states::RawKind::ScriptData,
                    "style" | "noframes" | "iframe" if starts => states::RawKind::Rawtext,
                    "title" | "textarea" if starts => {
                        return TokenSinkResult::RawData(states::RawKind::Rcdata);
                    }
                    _ => return TokenSinkResult::Continue,
                };
                *hidden = Some(name);
                return TokenSinkResult::RawData(raw);
            }
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(html: &str) -> String {
        html_text(html).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_people_read_is_kept() {
        let cases = [
            ("<p>Fish &amp; chips<br>are <b>go</b>od</p>", "Fish & chips are good"),
            ("a<script>if (a < b) { x('</p>') }</script>b", "a b"),
            ("<style>p { color: red }</style>text", "text"),
            ("<!-- no --><ul><li>one<li>two</ul>", "one two"),
            ("<title>A &lt;b&gt;</title>rest", "A <b> rest"),
            ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
            ("<a href=\"x>y\">link</a> &eacute; &#x4e2d;", "link é 中"),
            ("no html at all", "no html at all"),
            ("<p>open <b", "open"),
        ];
        for (html, expected) in cases {
            assert_eq!(words(html), expected, "{html}");
        }
    }

    proptest! {
        #[test]
        fn any_text_has_one(html in "[<>/a-z!\\-&;\"'= ]{0,80}") {
            let text = html_text(&html);
            // Entities are at most as long as what stands for them.
            prop_assert!(text.chars().count() <= html.chars().count() + html.matches('<').count());
        }
    }
}
