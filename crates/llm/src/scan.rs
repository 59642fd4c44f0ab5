//! Walking over JSON without building a tree.
//!
//! A request of an agent is 40 KB to 500 KB of text in long strings, of which the gateway acts on a handful of
//! members of the outermost object. So strings are skipped with a vector search, nested values are only balanced,
//! and nothing is allocated. What lies deeper than the outermost object is checked as far as needed to know where
//! it ends; the upstream judges the rest. Any byte outside strings that JSON does not know is refused, so that no
//! lenient upstream can see members (behind a comment, say) that were not seen here.

use std::ops::Range;

use memchr::memchr_iter;

/// Deepest nesting accepted, the outermost object included.
pub const DEPTH_MAX: u32 = 128;

/// Why a text is not JSON that can be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// Something else than JSON stands at this byte.
    #[error("not valid JSON at byte {0}")]
    Syntax(usize),
    /// The text ends too early.
    #[error("the JSON text ends too early")]
    Truncated,
    /// Nested deeper than [`DEPTH_MAX`].
    #[error("nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
}

/// A cursor over one JSON text.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Bytes of numbers and of `true`, `false`, `null`.
fn is_scalar(byte: u8) -> bool {
    matches!(
        byte,
        b'0'..=b'9'
            | b'+'
            | b'-'
            | b'.'
            | b'E'
            | b'a'
            | b'e'
            | b'f'
            | b'l'
            | b'n'
            | b'r'
            | b's'
            | b't'
            | b'u'
    )
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The bytes of a range that this scanner returned.
    pub(crate) fn slice(&self, range: &Range<usize>) -> &'a [u8] {
        self.text.get(range.clone()).unwrap_or_default()
    }

    fn peek(&self) -> Result<u8, ScanError> {
        self.text.get(self.at).copied().ok_or(ScanError::Truncated)
    }

    pub(crate) fn skip_space(&mut self) {
        while self.text.get(self.at).is_some_and(|byte| is_space(*byte)) {
            self.at += 1;
        }
    }

    /// Takes `byte` if it comes next, white space before it aside.
    pub(crate) fn take(&mut self, byte: u8) -> Result<bool, ScanError> {
        self.skip_space();
        let found = self.peek()? == byte;
        self.at += usize::from(found);
        Ok(found)
    }

    pub(crate) fn require(&mut self, byte: u8) -> Result<(), ScanError> {
        if self.take(byte)? { Ok(()) } else { Err(ScanError::Syntax(self.at)) }
    }

    /// Nothing but white space may follow.
    pub(crate) fn require_end(&mut self) -> Result<(), ScanError> {
        self.skip_space();
        if self.at == self.text.len() { Ok(()) } else { Err(ScanError::Syntax(self.at)) }
    }

    /// A string with its quotes.
    pub(crate) fn string(&mut self) -> Result<Range<usize>, ScanError> {
        self.skip_space();
        let start = self.at;
        if self.peek()? != b'"' {
            return Err(ScanError::Syntax(start));
        }
        self.at += 1;
        let rest = self.text.get(self.at..).unwrap_or_default();
        // Only quotes are searched for: prompts have an escaped line end every few bytes, but few quotes.
        for found in memchr_iter(b'"', rest) {
            let inside = rest.get(..found).unwrap_or_default();
            let backslashes = inside.iter().rev().take_while(|byte| **byte == b'\\').count();
            if backslashes % 2 == 0 {
                self.at += found + 1;
                return Ok(start..self.at);
            }
        }
        self.at = self.text.len();
        Err(ScanError::Truncated)
    }

    /// Any value; the range is exactly its text.
    pub(crate) fn value(&mut self) -> Result<Range<usize>, ScanError> {
        self.skip_space();
        let start = self.at;
        match self.peek()? {
            b'"' => self.string(),
            b'{' | b'[' => self.nested(),
            byte if is_scalar(byte) => {
                while self.text.get(self.at).is_some_and(|byte| is_scalar(*byte)) {
                    self.at += 1;
                }
                Ok(start..self.at)
            }
            _ => Err(ScanError::Syntax(start)),
        }
    }

    /// An object or array: balanced, and free of foreign bytes.
    fn nested(&mut self) -> Result<Range<usize>, ScanError> {
        let start = self.at;
        // One bit per level, set for an object. The outermost object is level 0 and not on this stack.
        let mut kinds: u128 = 0;
        let mut depth = 1;
        loop {
            match self.peek()? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                open @ (b'{' | b'[') => {
                    depth += 1;
                    if depth > DEPTH_MAX {
                        return Err(ScanError::TooDeep);
                    }
                    kinds = (kinds << 1) | u128::from(open == b'{');
                }
                close @ (b'}' | b']') => {
                    if (kinds & 1 == 1) != (close == b'}') {
                        return Err(ScanError::Syntax(self.at));
                    }
                    kinds >>= 1;
                    depth -= 1;
                    if depth == 1 {
                        self.at += 1;
                        return Ok(start..self.at);
                    }
                }
                byte if is_scalar(byte) || is_space(byte) || matches!(byte, b',' | b':') => {}
                _ => return Err(ScanError::Syntax(self.at)),
            }
            self.at += 1;
        }
    }
}

/// What [`members`] tells about one member.
#[derive(Debug)]
pub(crate) struct Member {
    /// The name's text with its quotes.
    pub(crate) name: Range<usize>,
    /// The value's text.
    pub(crate) value: Range<usize>,
}

/// Walks the members of the object that `scanner` stands before, in their order, and returns the offset of its
/// closing brace.
pub(crate) fn members(
    scanner: &mut Scanner<'_>,
    mut on_member: impl FnMut(&Scanner<'_>, Member),
) -> Result<usize, ScanError> {
    scanner.require(b'{')?;
    if !scanner.take(b'}')? {
        loop {
            let name = scanner.string()?;
            scanner.require(b':')?;
            let value = scanner.value()?;
            on_member(scanner, Member { name, value });
            if scanner.take(b',')? {
                continue;
            }
            scanner.require(b'}')?;
            break;
        }
    }
    Ok(scanner.at() - 1)
}
