//! Patterns of actions and resources: `*` is any text, `?` any one character.

/// A compiled pattern; the common forms compare without scanning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pattern {
    Any,
    Exact(Box<str>),
    /// Everything that starts so: the one wildcard is a `*` at the end.
    Prefix(Box<str>),
    Wild(Box<str>),
}

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        if text == "*" {
            return Pattern::Any;
        }
        if !text.contains(['*', '?']) {
            return Pattern::Exact(text.into());
        }
        match text.strip_suffix('*') {
            Some(prefix) if !prefix.contains(['*', '?']) => Pattern::Prefix(prefix.into()),
            _ => Pattern::Wild(text.into()),
        }
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        match self {
            Pattern::Any => true,
            Pattern::Exact(exact) => **exact == *text,
            Pattern::Prefix(prefix) => text.starts_with(&**prefix),
            Pattern::Wild(pattern) => wild(pattern.as_bytes(), text.as_bytes()),
        }
    }
}

/// Bytes are characters here: documents hold ASCII patterns only. Time is at most the product of both lengths, since
/// only the last `*` is ever tried again.
fn wild(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where the last star was, and how much of the text it has taken.
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = text.get(t) {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(b'?') => (p, t) = (p + 1, t + 1),
            Some(wanted) if wanted == byte => (p, t) = (p + 1, t + 1),
            _ => match &mut star {
                Some((after, taken)) => {
                    *taken += 1;
                    (p, t) = (*after + 1, *taken);
                }
                None => return false,
            },
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}
