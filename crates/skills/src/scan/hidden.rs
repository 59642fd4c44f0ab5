//! Characters that a reader does not see and a model does, and letters that look like others.

use crate::report::Severity;

/// What was found of them.
#[derive(Debug)]
pub(super) struct Hidden {
    pub(super) rule: &'static str,
    pub(super) severity: Severity,
    pub(super) line: u32,
    pub(super) message: String,
    /// What the characters say, where they say something.
    pub(super) says: Option<String>,
}

/// Zero-width characters in a row, with or without letters between them, that are too many to be typography.
const ZERO_WIDTH_RUN: usize = 12;

/// The findings, and the text as it is without such characters, if it differs. Line ends stay where they are.
pub(super) fn analyse(text: &str, is_code: bool) -> (Vec<Hidden>, Option<String>) {
    if text.is_ascii() {
        return (Vec::new(), None);
    }
    let mut found = Vec::new();
    tags(text, &mut found);
    selectors(text, &mut found);
    zero_width(text, &mut found);
    bidi(text, is_code, &mut found);
    mixed_letters(text, &mut found);
    let plain = plain(text);
    (found, (plain != text).then_some(plain))
}

fn lines(text: &str) -> impl Iterator<Item = (u32, &str)> {
    text.split('\n').enumerate().map(|(index, line)| (u32::try_from(index + 1).unwrap_or(u32::MAX), line))
}

/// Tag characters spell ASCII. Flags of parts of countries use them after a black flag.
fn tags(text: &str, found: &mut Vec<Hidden>) {
    for (line, content) in lines(text) {
        let mut says = String::new();
        let mut in_flag = false;
        for c in content.chars() {
            match u32::from(c) {
                0x1f3f4 => in_flag = true,
                code @ 0xe0020..=0xe007e if !in_flag => says.extend(char::from_u32(code - 0xe0000)),
                0xe0001 if !in_flag => {}
                0xe0020..=0xe007f => {}
                _ => in_flag = false,
            }
        }
        if says.chars().count() >= 3 {
            found.push(Hidden {
                rule: "hidden.tag-characters",
                severity: Severity::Critical,
                line,
                message: "invisible tag characters spell a text that only a model reads".to_owned(),
                says: Some(says),
            });
        }
    }
}

/// Variation selectors choose between looks of one character; two in a row choose nothing, they carry bytes.
fn selectors(text: &str, found: &mut Vec<Hidden>) {
    for (line, content) in lines(text) {
        let mut run = Vec::new();
        let mut longest: Vec<u8> = Vec::new();
        for c in content.chars().chain(['\n']) {
            match u32::from(c) {
                code @ 0xfe00..=0xfe0f => run.push(u8::try_from(code - 0xfe00).unwrap_or_default()),
                code @ 0xe0100..=0xe01ef => run.push(u8::try_from(code - 0xe0100 + 16).unwrap_or_default()),
                _ => {
                    if run.len() > longest.len() {
                        longest.clone_from(&run);
                    }
                    run.clear();
                }
            }
        }
        if longest.len() >= 4 {
            found.push(Hidden {
                rule: "hidden.variation-selectors",
                severity: Severity::Critical,
                line,
                message: format!("{} variation selectors in a row carry hidden bytes", longest.len()),
                says: String::from_utf8(longest).ok().filter(|says| !says.chars().any(char::is_control)),
            });
        }
    }
}

fn is_zero_width(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{180e}' | '\u{00ad}' | '\u{034f}')
}

fn zero_width(text: &str, found: &mut Vec<Hidden>) {
    for (line, content) in lines(text) {
        let mut run = 0_usize;
        let mut longest = 0_usize;
        let mut inside_words = 0_usize;
        let mut before = ' ';
        let mut pending = false;
        let mut bits = String::new();
        for c in content.chars() {
            if is_zero_width(c) {
                run += 1;
                longest = longest.max(run);
                // Only between Latin letters: Persian, Hindi, Khmer and emoji need them.
                pending = before.is_ascii_alphabetic() && c != '\u{00ad}';
                bits.push(if matches!(c, '\u{200b}' | '\u{2060}') { '0' } else { '1' });
            } else {
                inside_words += usize::from(pending && c.is_ascii_alphabetic());
                pending = false;
                run = 0;
                before = c;
            }
        }
        if longest >= ZERO_WIDTH_RUN {
            found.push(Hidden {
                rule: "hidden.zero-width",
                severity: Severity::High,
                line,
                message: format!("{longest} invisible characters in a row can carry a hidden text"),
                says: bits_say(&bits),
            });
        } else if inside_words >= 2 {
            found.push(Hidden {
                rule: "hidden.zero-width",
                severity: Severity::High,
                line,
                message: "invisible characters inside words keep them from being found".to_owned(),
                says: None,
            });
        }
    }
}

fn bits_say(bits: &str) -> Option<String> {
    let bytes: Option<Vec<u8>> = bits
        .as_bytes()
        .as_chunks::<8>()
        .0
        .iter()
        .map(|byte| u8::from_str_radix(std::str::from_utf8(byte).ok()?, 2).ok())
        .collect();
    String::from_utf8(bytes?).ok().filter(|says| says.len() >= 3 && says.chars().all(|c| !c.is_control()))
}

fn bidi(text: &str, is_code: bool, found: &mut Vec<Hidden>) {
    let is_control = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let is_right_to_left =
        |c: char| matches!(c, '\u{0590}'..='\u{08ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{feff}');
    for (line, content) in lines(text) {
        let overrides = content.contains(['\u{202d}', '\u{202e}']);
        if !content.chars().any(is_control) || (!overrides && content.chars().any(is_right_to_left)) {
            continue;
        }
        found.push(Hidden {
            rule: "hidden.bidirectional",
            severity: if is_code || overrides { Severity::High } else { Severity::Medium },
            line,
            message: "characters that turn the direction of writing show another order than is run or read"
                .to_owned(),
            says: None,
        });
    }
}

/// Letters of other alphabets that look like Latin ones.
fn latin_like(c: char) -> Option<char> {
    let pairs = [
        ("аᴀɑα", 'a'),
        ("сϲⅽ", 'c'),
        ("еҽє", 'e'),
        ("оοօ", 'o'),
        ("рρ", 'p'),
        ("хⅹ", 'x'),
        ("уγ", 'y'),
        ("ѕ", 's'),
        ("іιⅰ", 'i'),
        ("јϳ", 'j'),
        ("һ", 'h'),
        ("ԁⅾ", 'd'),
        ("ԛ", 'q'),
        ("ԝ", 'w'),
        ("ⅼӏ", 'l'),
        ("ո", 'n'),
        ("ս", 'u'),
        ("ѵν", 'v'),
        ("ɡ", 'g'),
        ("κ", 'k'),
        ("τ", 't'),
        ("ь", 'b'),
        ("АΑ", 'A'),
        ("ВΒ", 'B'),
        ("С", 'C'),
        ("ЕΕ", 'E'),
        ("НΗ", 'H'),
        ("ІΙ", 'I'),
        ("КΚ", 'K'),
        ("МΜ", 'M'),
        ("ΝＮ", 'N'),
        ("ОΟ", 'O'),
        ("РΡ", 'P'),
        ("ТΤ", 'T'),
        ("ХΧ", 'X'),
        ("УΥ", 'Y'),
        ("ΖＺ", 'Z'),
        ("Ѕ", 'S'),
        ("Ј", 'J'),
    ];
    pairs.iter().find(|(looks, _)| looks.contains(c)).map(|(_, latin)| *latin)
}

/// A word of Latin letters in which some are not: `сurl` with a Cyrillic с.
fn mixed_letters(text: &str, found: &mut Vec<Hidden>) {
    const COMMANDS: &[&str] = &[
        "curl",
        "wget",
        "bash",
        "sudo",
        "eval",
        "exec",
        "python",
        "node",
        "npm",
        "pip",
        "http",
        "https",
        "github",
        "google",
        "openai",
        "anthropic",
        "openclaw",
        "api",
        "system",
        "ignore",
        "instructions",
        "password",
        "key",
        "token",
        "send",
        "paypal",
        "apple",
        "microsoft",
        "amazon",
        "execute",
        "upload",
        "previous",
    ];
    for (line, content) in lines(text) {
        if content.is_ascii() {
            continue;
        }
        for word in content.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_ascii()) {
            let latin = word.chars().filter(char::is_ascii_alphabetic).count();
            let like = word.chars().filter(|c| latin_like(*c).is_some()).count();
            if latin < 2 || like == 0 || latin + like != word.chars().count() {
                continue;
            }
            let reads: String = word.chars().map(|c| latin_like(c).unwrap_or(c)).collect();
            let matters = COMMANDS.contains(&reads.to_lowercase().as_str());
            found.push(Hidden {
                rule: "hidden.look-alike-letters",
                severity: if matters { Severity::High } else { Severity::Low },
                line,
                message: format!("a word that reads {reads} has letters of another alphabet"),
                says: matters.then_some(reads),
            });
        }
    }
}

/// Without what cannot be seen, wide letters as plain ones, look-alikes in mixed words as what they look like.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut word = String::new();
    let flush = |word: &mut String, out: &mut String| {
        let mixed =
            word.chars().any(|c| c.is_ascii_alphabetic()) && word.chars().any(|c| latin_like(c).is_some());
        if mixed {
            out.extend(word.chars().map(|c| latin_like(c).unwrap_or(c)));
        } else {
            out.push_str(word);
        }
        word.clear();
    };
    for c in text.chars() {
        let code = u32::from(c);
        if is_zero_width(c)
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{fe00}'..='\u{fe0f}')
            || matches!(code, 0xe0000..=0xe01ef)
        {
            continue;
        }
        let c = match code {
            0xff01..=0xff5e if !matches!(c, '，' | '：' | '；' | '！' | '？' | '（' | '）') => {
                char::from_u32(code - 0xfee0).unwrap_or(c)
            }
            0x1d400..=0x1d6a3 => mathematical(code).unwrap_or(c),
            0x00a0 | 0x2000..=0x200a | 0x202f | 0x205f | 0x3164 | 0xffa0 => ' ',
            _ => c,
        };
        if c.is_alphabetic() {
            word.push(c);
        } else {
            flush(&mut word, &mut out);
            out.push(c);
        }
    }
    flush(&mut word, &mut out);
    out
}

/// Bold, italic and other letters for formulas, in runs of 26 and 26.
fn mathematical(code: u32) -> Option<char> {
    let at = (code - 0x1d400) % 52;
    char::from_u32(if at < 26 { u32::from('A') + at } else { u32::from('a') + at - 26 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Vec<(&'static str, Severity)> {
        analyse(text, false).0.into_iter().map(|hidden| (hidden.rule, hidden.severity)).collect()
    }

    #[test]
    fn tag_characters_are_read_and_flags_are_not() {
        let secret: String =
            "ignore".chars().filter_map(|c| char::from_u32(0xe0000 + u32::from(c))).collect();
        let (found, plain) = analyse(&format!("a{secret}b"), false);
        assert_eq!(found.first().and_then(|hidden| hidden.says.as_deref()), Some("ignore"));
        assert_eq!(plain.as_deref(), Some("ab"));
        assert_eq!(rules("🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f} is a flag"), []);
    }

    #[test]
    fn writing_that_needs_joiners_is_left_alone() {
        for text in [
            "👨‍👩‍👧‍👦 and 🏳️‍🌈 and ❤️",
            "می‌خواهم بروم",
            "क्‍ष",
            "中文：没有问题，全角标点！",
            "naïve café ﬁ",
            "שלום (a)",
        ] {
            assert_eq!(rules(text), [], "{text}");
        }
    }

    #[test]
    fn hidden_carriers_are_found() {
        assert_eq!(
            rules("x\u{fe00}\u{e0101}\u{e0102}\u{e0103}\u{e0104}"),
            [("hidden.variation-selectors", Severity::Critical)]
        );
        assert_eq!(
            rules(&format!("a{}b", "\u{200b}\u{200c}".repeat(8))),
            [("hidden.zero-width", Severity::High)]
        );
        assert_eq!(rules("ig\u{200b}nore prev\u{200b}ious"), [("hidden.zero-width", Severity::High)]);
        assert_eq!(rules("if a \u{202e}nimda\u{2066} then"), [("hidden.bidirectional", Severity::High)]);
        assert_eq!(rules("run сurl now"), [("hidden.look-alike-letters", Severity::High)]);
    }

    #[test]
    fn what_is_left_can_be_read_by_rules() {
        assert_eq!(
            analyse("ｃｕｒｌ ig\u{200b}nore 𝐜𝐮𝐫𝐥 сurl", false).1.as_deref(),
            Some("curl ignore curl curl")
        );
        assert_eq!(analyse("Привет, мир", false).1, None);
    }
}
