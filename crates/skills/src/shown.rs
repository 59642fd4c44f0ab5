//! Strangers' texts for people: short, on one line, nothing invisible, no secrets.

/// Characters of an excerpt at the most.
pub(crate) const EXCERPT_CHARS_MAX: usize = 160;

/// The matched text with a little around it.
pub(crate) fn excerpt(text: &str, offset: usize, length: usize) -> String {
    let start = floor(text, offset.saturating_sub(24));
    let end =
        floor(text, offset.saturating_add(length).saturating_add(24).min(start + 4 * EXCERPT_CHARS_MAX));
    let line_start =
        text.get(start..offset).and_then(|before| before.rfind('\n')).map_or(start, |at| start + at + 1);
    spelled(text.get(line_start..end).unwrap_or_default(), EXCERPT_CHARS_MAX)
}

/// A secret's first characters.
pub(crate) fn masked(secret: &str) -> String {
    let shown: String = secret.chars().take(6).collect();
    spelled(&format!("{shown}… ({} characters)", secret.chars().count()), EXCERPT_CHARS_MAX)
}

/// On one line, cut off after so many characters, and with a name in place of whatever is not seen.
pub(crate) fn spelled(text: &str, chars: usize) -> String {
    let mut out = String::new();
    let mut left = chars;
    let words = text.split(char::is_whitespace).filter(|word| !word.is_empty());
    for (at, word) in words.enumerate() {
        for c in (at > 0).then_some(' ').into_iter().chain(word.chars()) {
            if left == 0 {
                out.push('…');
                return out;
            }
            left -= 1;
            if is_unseen(c) {
                out.extend(c.escape_unicode());
            } else {
                out.push(c);
            }
        }
    }
    out
}

/// What Rust escapes, without quotes and accents, which are seen, and with letters and accents that are not.
fn is_unseen(c: char) -> bool {
    let blank = ['\u{34f}', '\u{115f}', '\u{1160}', '\u{17b4}', '\u{17b5}', '\u{3164}', '\u{ffa0}'];
    let selects = matches!(c, '\u{180b}'..='\u{180f}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0000}'..='\u{e0fff}');
    // Behind another character, since at the beginning of a text Rust escapes accents, too.
    let escaped = ['x', c].iter().collect::<String>().escape_debug().count() > 2;
    blank.contains(&c) || selects || (escaped && !matches!(c, '"' | '\'' | '\\'))
}

/// `text` from one offset to another, each moved back to where a character begins.
pub(crate) fn window(text: &str, from: usize, to: usize) -> &str {
    text.get(floor(text, from)..floor(text, to)).unwrap_or_default()
}

fn floor(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_are_short_and_visible() {
        assert_eq!(excerpt("one\ntwo \u{202e}three", 4, 3), "two \\u{202e}three");
        assert_eq!(excerpt(&"x".repeat(1000), 500, 400).chars().count(), EXCERPT_CHARS_MAX + 1);
        assert_eq!(masked("abcdefghijkl"), "abcdef… (12 characters)");
    }

    #[test]
    fn texts_are_on_one_line_cut_off_and_without_what_is_not_seen() {
        assert_eq!(spelled(" one\n\ttwo\u{2028}three\r\n", 20), "one two three");
        assert_eq!((spelled("abcd", 4), spelled("abcde", 4)), ("abcd".to_owned(), "abcd…".to_owned()));
        for unseen in [
            '\u{0}',
            '\u{1b}',
            '\u{ad}',
            '\u{34f}',
            '\u{61c}',
            '\u{200b}',
            '\u{202e}',
            '\u{2069}',
            '\u{feff}',
            '\u{fe0f}',
            '\u{3164}',
            '\u{ffa0}',
            '\u{e0041}',
            '\u{e0100}',
            '\u{e000}',
        ] {
            let text = format!("a{unseen}b");
            assert_eq!(spelled(&text, 9), format!("a\\u{{{:x}}}b", u32::from(unseen)));
        }
        for seen in ["\"it's\" \\n", "cafe\u{301}", "天气 ปลา मछली"] {
            assert_eq!(spelled(seen, 40), seen);
        }
    }
}
