//! Server-sent events, incrementally: whole events out of bytes that arrive cut anywhere.
//!
//! Lines end in LF or CRLF. DEVIATION from the WHATWG text: a lone CR does not end a line, for then the last byte of
//! a read could not be judged before the next one, and no upstream writes it.
//!
//! An event that lies within one read is lent from it without copying; only an event cut by the end of a read is
//! gathered, up to [`EVENT_BYTES_MAX`].

use std::borrow::Cow;

/// Longest event accepted, in bytes.
pub const EVENT_BYTES_MAX: usize = 8 << 20;

/// An event was longer than [`EVENT_BYTES_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a stream event is longer than {EVENT_BYTES_MAX} bytes")]
pub struct EventTooLong;

/// One event, with the place where it stands.
#[derive(Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// Its bytes as they came, the blank line at the end included.
    pub raw: &'a [u8],
    /// What its `data:` lines say, joined by LF; `None` for one without data, such as a comment that keeps the
    /// connection alive.
    pub data: Option<Cow<'a, [u8]>>,
    /// Offset in the pushed bytes where it begins; 0 if it began in an earlier push.
    pub start: usize,
    /// Offset in the pushed bytes behind it.
    pub end: usize,
}

/// Splits a stream into events.
#[derive(Debug, Default)]
pub struct Splitter {
    /// The beginning of an event whose end has not come.
    pending: Vec<u8>,
    /// Length of the line that the last push broke off in.
    line_bytes: usize,
    /// That line's last byte is CR.
    line_ends_in_cr: bool,
}

impl Splitter {
    /// A splitter at the beginning of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes and tells of every event that they complete, in order.
    pub fn push(&mut self, bytes: &[u8], mut on_event: impl FnMut(Event<'_>)) -> Result<(), EventTooLong> {
        let mut event_start = 0;
        let mut line_start = 0;
        for newline in memchr::memchr_iter(b'\n', bytes) {
            let here = newline - line_start;
            let ends_in_cr = if here > 0 {
                bytes.get(newline - 1) == Some(&b'\r')
            } else {
                self.line_bytes > 0 && self.line_ends_in_cr
            };
            let line_bytes = self.line_bytes + here;
            line_start = newline + 1;
            self.line_bytes = 0;
            if line_bytes > usize::from(ends_in_cr) {
                continue;
            }
            let tail = bytes.get(event_start..line_start).unwrap_or_default();
            if self.pending.is_empty() {
                on_event(Event { raw: tail, data: data_of(tail), start: event_start, end: line_start });
            } else {
                self.keep(tail)?;
                let raw = std::mem::take(&mut self.pending);
                on_event(Event { raw: &raw, data: data_of(&raw), start: 0, end: line_start });
            }
            event_start = line_start;
        }
        let rest = bytes.get(line_start..).unwrap_or_default();
        self.line_bytes += rest.len();
        if let Some(last) = rest.last() {
            self.line_ends_in_cr = *last == b'\r';
        }
        self.keep(bytes.get(event_start..).unwrap_or_default())
    }

    /// The bytes of an event whose blank line never came; empty after a stream that ended well.
    pub fn rest(&self) -> &[u8] {
        &self.pending
    }

    /// What comes next begins an event.
    pub(crate) fn is_between_events(&self) -> bool {
        self.pending.is_empty() && self.line_bytes == 0
    }

    /// The same as [`Self::rest`], given up: what comes next is not a part of it.
    pub(crate) fn take_rest(&mut self) -> Vec<u8> {
        self.line_bytes = 0;
        std::mem::take(&mut self.pending)
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), EventTooLong> {
        if self.pending.len() + bytes.len() > EVENT_BYTES_MAX {
            return Err(EventTooLong);
        }
        self.pending.extend_from_slice(bytes);
        Ok(())
    }
}

/// What the `data:` lines of one event say; borrowed where there is one such line, as nearly always.
pub fn data_of(raw: &[u8]) -> Option<Cow<'_, [u8]>> {
    let mut data: Option<Cow<'_, [u8]>> = None;
    let mut line_start = 0;
    for line_end in memchr::memchr_iter(b'\n', raw).chain([raw.len()]) {
        let line = raw.get(line_start..line_end).unwrap_or_default();
        line_start = line_end + 1;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(value) = line.strip_prefix(b"data:") else { continue };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match &mut data {
            None => data = Some(Cow::Borrowed(value)),
            Some(joined) => {
                let joined = joined.to_mut();
                joined.push(b'\n');
                joined.extend_from_slice(value);
            }
        }
    }
    data
}

/// Appends an event whose data is one JSON text.
pub fn write(out: &mut Vec<u8>, event: Option<&str>, data: &serde_json::Value) {
    if let Some(event) = event {
        out.extend_from_slice(format!("event: {event}\n").as_bytes());
    }
    out.extend_from_slice(b"data: ");
    // A value without keys that are not text can always be written to memory.
    let _written = serde_json::to_writer(&mut *out, data);
    out.extend_from_slice(b"\n\n");
}

/// The same for events that are named after the `type` of their data.
pub(crate) fn write_typed(out: &mut Vec<u8>, data: &serde_json::Value) {
    write(out, data.get("type").and_then(serde_json::Value::as_str), data);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Seen = Vec<(Vec<u8>, Option<Vec<u8>>)>;

    fn split(parts: &[&[u8]]) -> (Seen, Vec<u8>) {
        let mut splitter = Splitter::new();
        let mut seen = Vec::new();
        for part in parts {
            splitter
                .push(part, |event| {
                    assert!(event.start <= event.end && event.end <= part.len());
                    seen.push((event.raw.to_vec(), event.data.map(Cow::into_owned)));
                })
                .expect("short events");
        }
        (seen, splitter.rest().to_vec())
    }

    #[test]
    fn events_comments_and_joined_data_are_told_apart() {
        let (seen, rest) = split(&[b": hi\n\ndata: a\r\n\r\nevent: x\ndata:b\ndata: c\n\ndata: cut"]);
        let data: Vec<_> = seen.iter().map(|(_, data)| data.as_deref()).collect();
        assert_eq!(data, [None, Some(&b"a"[..]), Some(b"b\nc")]);
        assert_eq!(rest, b"data: cut");
    }

    #[test]
    fn the_place_of_an_event_is_told() {
        let mut splitter = Splitter::new();
        let mut places = Vec::new();
        splitter.push(b"data: 1\n\ndata", |e| places.push((e.start, e.end))).expect("short");
        splitter.push(b": 2\n\ndata: 3\n\n", |e| places.push((e.start, e.end))).expect("short");
        assert_eq!(places, [(0, 9), (0, 5), (5, 14)]);
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut splitter = Splitter::new();
        let part = vec![b'a'; EVENT_BYTES_MAX / 2];
        assert_eq!(splitter.push(&part, |_| ()), Ok(()));
        assert_eq!(splitter.push(&part, |_| ()), Ok(()));
        assert_eq!(splitter.push(b"a", |_| ()), Err(EventTooLong));
    }

    proptest! {
        #[test]
        fn any_split_of_the_bytes_gives_the_same_events(
            lines in prop::collection::vec("(data: [a-c\r]{0,4}|: k|event: e|)(\n|\r\n)", 0..20),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let whole = lines.concat().into_bytes();
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(whole.len() + 1)).collect();
            at.extend([0, whole.len()]);
            at.sort_unstable();
            let parts: Vec<&[u8]> = at.windows(2).map(|pair| &whole[pair[0]..pair[1]]).collect();
            let once = split(&[&whole]);
            prop_assert_eq!(&split(&parts), &once);
            let mut raw: Vec<u8> = once.0.iter().flat_map(|(raw, _)| raw.clone()).collect();
            raw.extend(once.1);
            prop_assert_eq!(raw, whole);
        }
    }
}
