//! Files that are not text: where an image ends and what follows it, texts inside images, what a PDF can do.

use std::io::Read;

use flate2::read::ZlibDecoder;

use super::kind::Image;

/// Bytes that one stream of a PDF or one chunk of a PNG is inflated to at the most.
pub(super) const INFLATED_MAX: u64 = 4 * 1024 * 1024;

/// What can be read in a file that is not text.
#[derive(Debug, Default)]
pub(super) struct Inside {
    /// What stands behind the end of the file, and where.
    pub(super) appended: Option<Vec<u8>>,
    /// Texts in it, each with where it is.
    pub(super) texts: Vec<(String, Vec<u8>)>,
    /// Why it was not read to its end.
    pub(super) unread: Option<String>,
    /// What it does when it is opened.
    pub(super) acts: Vec<String>,
}

/// An image.
pub(super) fn image(kind: Image, bytes: &[u8]) -> Inside {
    let mut inside = Inside::default();
    let end = match kind {
        Image::Png => png(bytes, &mut inside),
        Image::Jpeg => rfind(bytes, b"\xff\xd9").map(|at| at + 2),
        Image::Gif => rfind(bytes, b"\0\x3b").map(|at| at + 2).or(Some(bytes.len())),
        Image::Webp => bytes
            .get(4..8)
            .and_then(|size| size.try_into().ok())
            .map(|size| u32::from_le_bytes(size) as usize + 8)
            .map(|end| end + end % 2),
        Image::Other => Some(bytes.len()),
    };
    match end {
        None => inside.unread = Some("an image that is cut off or is none".to_owned()),
        Some(end) => {
            let rest = bytes.get(end..).unwrap_or_default();
            let rest = rest
                .iter()
                .position(|byte| !byte.is_ascii_whitespace() && *byte != 0)
                .map(|at| rest.get(at..));
            inside.appended = rest.flatten().filter(|rest| rest.len() >= 8).map(<[u8]>::to_vec);
        }
    }
    inside
}

/// Walks the chunks, gives where the last one ends.
fn png(bytes: &[u8], inside: &mut Inside) -> Option<usize> {
    let mut at = 8_usize;
    loop {
        let length = u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize;
        let name = bytes.get(at + 4..at + 8)?;
        let data = bytes.get(at + 8..at.checked_add(8)?.checked_add(length)?)?;
        at += 12 + length;
        match name {
            b"IEND" => return Some(at.min(bytes.len())),
            b"tEXt" | b"iTXt" => inside.texts.push(("text".to_owned(), printable(data))),
            b"zTXt" => {
                let packed = data.splitn(2, |byte| *byte == 0).nth(1).and_then(|rest| rest.get(1..));
                if let Some((text, whole)) = packed.and_then(inflated) {
                    inside.texts.push(("text".to_owned(), text));
                    if !whole {
                        inside.unread = Some("a compressed text in the image is too large".to_owned());
                    }
                }
            }
            _ => {}
        }
    }
}

fn printable(data: &[u8]) -> Vec<u8> {
    data.iter().map(|byte| if *byte == 0 { b'\n' } else { *byte }).collect()
}

/// What `packed` holds up to the limit, and whether that is all; `None` where it is not zlib data.
fn inflated(packed: &[u8]) -> Option<(Vec<u8>, bool)> {
    let mut out = Vec::new();
    ZlibDecoder::new(packed).take(INFLATED_MAX + 1).read_to_end(&mut out).ok()?;
    let whole = out.len() as u64 <= INFLATED_MAX;
    Some((out, whole))
}

/// A PDF: its streams as text, and what it would do by itself.
pub(super) fn pdf(bytes: &[u8], budget: u64) -> Inside {
    let mut inside = Inside::default();
    if find(bytes, b"/Encrypt", 0).is_some() {
        inside.unread = Some("an encrypted PDF".to_owned());
        return inside;
    }
    let mut read = bytes.to_vec();
    let mut at = 0;
    while let Some(start) = find(bytes, b"stream", at) {
        let body = start + 6;
        at = body;
        let line_end = bytes
            .get(body..)
            .map_or(0, |rest| rest.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count());
        let dictionary = bytes.get(start.saturating_sub(400)..start).unwrap_or_default();
        if !(1..=2).contains(&line_end) || find(dictionary, b"FlateDecode", 0).is_none() {
            continue;
        }
        let Some(end) = find(bytes, b"endstream", body) else { break };
        at = end + 9;
        match bytes.get(body + line_end..end).and_then(inflated) {
            Some((text, true)) if (read.len() + text.len()) as u64 <= budget => read.extend(text),
            Some(_) => inside.unread = Some("streams of the PDF are too large".to_owned()),
            // An image with a predictor or a broken stream: nothing there that a viewer would run either.
            None => {}
        }
    }
    for (mark, does) in [
        (&b"/JavaScript"[..], "runs JavaScript"),
        (b"/JS ", "runs JavaScript"),
        (b"/JS(", "runs JavaScript"),
        (b"/Launch", "starts a program"),
        (b"/EmbeddedFile", "carries another file"),
        (b"/RichMedia", "carries active media"),
    ] {
        if find(&read, mark, 0).is_some() {
            inside.acts.push(does.to_owned());
        }
    }
    inside.acts.dedup();
    let words = shown_words(&read);
    if !words.is_empty() {
        inside.texts.push(("text".to_owned(), words));
    }
    inside
}

/// The strings that are shown, `(…) Tj`, and the document's information, `/Title (…)`.
fn shown_words(bytes: &[u8]) -> Vec<u8> {
    let mut words = Vec::new();
    let mut depth = 0_usize;
    let mut escaped = false;
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if depth > 0 => escaped = true,
            b'(' => depth += 1,
            b')' if depth > 0 => {
                depth -= 1;
            }
            b'\n' if depth == 0 && words.last() != Some(&b'\n') => words.push(b'\n'),
            byte if depth > 0 && (byte.is_ascii_graphic() || *byte == b' ') => words.push(*byte),
            _ => {}
        }
    }
    words
}

/// Marks of a script inside a file that says it is something else.
pub(super) fn polyglot(bytes: &[u8]) -> Option<&'static str> {
    [
        (&b"<?php"[..], "PHP"),
        (b"#!/bin/sh", "a shell script"),
        (b"#!/bin/bash", "a shell script"),
        (b"#!/usr/bin/env ", "a script"),
        (b"<script", "a script of a page"),
    ]
    .into_iter()
    .find(|(mark, _)| find(bytes, mark, 0).is_some())
    .map(|(_, what)| what)
}

fn find(bytes: &[u8], what: &[u8], from: usize) -> Option<usize> {
    memchr::memmem::find(bytes.get(from..)?, what).map(|at| at + from)
}

fn rfind(bytes: &[u8], what: &[u8]) -> Option<usize> {
    memchr::memmem::rfind(bytes, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png_of(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
        let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
        for (name, data) in chunks {
            bytes.extend(u32::try_from(data.len()).expect("small").to_be_bytes());
            bytes.extend(*name);
            bytes.extend(*data);
            bytes.extend([0; 4]);
        }
        bytes
    }

    #[test]
    fn what_follows_an_image_is_found() {
        let mut bytes = png_of(&[(b"IHDR", &[0; 13]), (b"tEXt", b"Comment\0ignore it"), (b"IEND", b"")]);
        let inside = image(Image::Png, &bytes);
        assert_eq!(inside.appended, None);
        assert_eq!(inside.texts, [("text".to_owned(), b"Comment\nignore it".to_vec())]);
        bytes.extend(b"#!/bin/sh\necho");
        assert_eq!(image(Image::Png, &bytes).appended.as_deref(), Some(&b"#!/bin/sh\necho"[..]));
        assert!(image(Image::Png, &bytes[..20]).unread.is_some());
        assert_eq!(
            image(Image::Jpeg, b"\xff\xd8\xff\xe0....\xff\xd9PK\x03\x04....").appended.map(|rest| rest.len()),
            Some(8)
        );
    }

    #[test]
    fn a_pdf_that_acts_says_so() {
        assert_eq!(
            pdf(b"%PDF-1.4\n1 0 obj <</OpenAction <</S /JavaScript>>>>", 1 << 20).acts,
            ["runs JavaScript"]
        );
        let plain = pdf(b"%PDF-1.4\nBT (Hello) Tj ET", 1 << 20);
        assert!(plain.acts.is_empty() && plain.unread.is_none());
        assert_eq!(plain.texts, [("text".to_owned(), b"\nHello".to_vec())]);
        assert!(pdf(b"%PDF-1.4\n/Encrypt 5 0 R", 1 << 20).unread.is_some());
    }
}
