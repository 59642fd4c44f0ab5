//! Excerpts for people: short, one line, nothing invisible, no secrets.

/// Characters of an excerpt at the most.
const EXCERPT_MAX: usize = 160;

/// The matched text with a little around it.
pub(super) fn excerpt(text: &str, offset: usize, length: usize) -> String {
    let start = floor(text, offset.saturating_sub(24));
    let end = floor(text, offset.saturating_add(length).saturating_add(24).min(start + 4 * EXCERPT_MAX));
    let line_start =
        text.get(start..offset).and_then(|before| before.rfind('\n')).map_or(start, |at| start + at + 1);
    spelled(text.get(line_start..end).unwrap_or_default())
}

/// A secret's first characters.
pub(super) fn masked(secret: &str) -> String {
    let shown: String = secret.chars().take(6).collect();
    spelled(&format!("{shown}… ({} characters)", secret.chars().count()))
}

/// On one line and with names for characters that are not seen.
pub(super) fn spelled(text: &str) -> String {
    let mut out = String::new();
    for c in text.trim().chars() {
        if out.chars().count() >= EXCERPT_MAX {
            out.push('…');
            break;
        }
        match c {
            '\n' | '\r' | '\t' | ' ' => {
                if !out.ends_with(' ') {
                    out.push(' ');
                }
            }
            c if c.is_control() || is_invisible(c) => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

fn is_invisible(c: char) -> bool {
    matches!(
        u32::from(c),
        0xad | 0x34f | 0x180e | 0x200b..=0x200f | 0x202a..=0x202e | 0x2060..=0x206f | 0xfe00..=0xfe0f | 0xfeff | 0xe0000..=0xe01ef | 0x3164 | 0xffa0
    )
}

/// `text` from one offset to another, each moved back to where a character begins.
pub(super) fn window(text: &str, from: usize, to: usize) -> &str {
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
        assert_eq!(excerpt(&"x".repeat(1000), 500, 400).chars().count(), EXCERPT_MAX + 1);
        assert_eq!(masked("abcdefghijkl"), "abcdef… (12 characters)");
    }
}
