//! The XML of the object protocol.

use std::fmt::Write;

use percent_encoding::utf8_percent_encode;
use quick_xml::Reader;
use quick_xml::escape::escape;
use quick_xml::events::Event;

use super::{OssCode, OssError};
use crate::sign::RESERVED;

/// Parts of one upload at the most: the provider's limit.
pub const PARTS_MAX: usize = 10_000;
const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// A part as a client names it when it completes an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedPart {
    /// From 1.
    pub number: u16,
    /// As it was answered, with or without quotes.
    pub etag: String,
}

/// A part in the answer to ListParts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedPart {
    pub number: u16,
    /// Upper-case hexadecimal without quotes.
    pub etag: String,
    pub bytes: u64,
    /// `2026-01-02T03:04:05.000Z`.
    pub last_modified: String,
}

/// An object in answers; the key is percent-encoded where the client asked for that.
#[derive(Debug, Clone, Copy)]
pub struct Named<'a> {
    pub bucket: &'a str,
    pub key: &'a str,
    pub url_encoded: bool,
}

impl Named<'_> {
    fn write(&self, out: &mut String) {
        if self.url_encoded {
            element(out, "EncodingType", "url");
        }
        element(out, "Bucket", self.bucket);
        if self.url_encoded {
            element(out, "Key", &utf8_percent_encode(self.key, RESERVED).to_string());
        } else {
            element(out, "Key", self.key);
        }
    }
}

fn element(out: &mut String, name: &str, text: &str) {
    // Writing to a text does not fail.
    let _ = writeln!(out, "  <{name}>{}</{name}>", escape(text));
}

fn document(root: &str, fill: impl FnOnce(&mut String)) -> String {
    let mut out = format!("{HEAD}<{root}>\n");
    fill(&mut out);
    let _ = writeln!(out, "</{root}>");
    out
}

/// The body of a refusal.
pub fn error(error: &OssError, request_id: &str, host: &str) -> String {
    document("Error", |out| {
        element(out, "Code", error.code.0);
        element(out, "Message", &error.message);
        element(out, "RequestId", request_id);
        element(out, "HostId", host);
        element(out, "EC", error.code.2);
    })
}

/// The answer to InitiateMultipartUpload.
pub fn initiated(object: Named<'_>, upload_id: &str) -> String {
    document("InitiateMultipartUploadResult", |out| {
        object.write(out);
        element(out, "UploadId", upload_id);
    })
}

/// The answer to CompleteMultipartUpload; `etag` without quotes.
pub fn completed(object: Named<'_>, location: &str, etag: &str) -> String {
    document("CompleteMultipartUploadResult", |out| {
        element(out, "Location", location);
        object.write(out);
        element(out, "ETag", &format!("\"{etag}\""));
    })
}

/// The answer to ListParts: those after `marker`, at most `max`.
pub fn parts(object: Named<'_>, upload_id: &str, all: &[ListedPart], marker: u16, max: usize) -> String {
    let after: Vec<&ListedPart> = all.iter().filter(|part| part.number > marker).collect();
    let shown = after.get(..max).unwrap_or(&after);
    document("ListPartsResult", |out| {
        object.write(out);
        element(out, "UploadId", upload_id);
        element(out, "PartNumberMarker", &marker.to_string());
        let next = shown.last().map_or(marker, |part| part.number);
        element(out, "NextPartNumberMarker", &next.to_string());
        element(out, "MaxParts", &max.to_string());
        element(out, "IsTruncated", if shown.len() < after.len() { "true" } else { "false" });
        for part in shown {
            out.push_str("  <Part>\n");
            element(out, "PartNumber", &part.number.to_string());
            element(out, "LastModified", &part.last_modified);
            element(out, "ETag", &format!("\"{}\"", part.etag));
            element(out, "Size", &part.bytes.to_string());
            out.push_str("  </Part>\n");
        }
    })
}

/// Reads the body of CompleteMultipartUpload.
///
/// # Errors
/// `MalformedXML`, or `InvalidPartOrder` where numbers do not rise.
pub fn read_complete(body: &[u8]) -> Result<Vec<NamedPart>, OssError> {
    let malformed = |why: &str| OssError::new(OssCode::MALFORMED_XML, format!("The list of parts: {why}."));
    let mut reader = Reader::from_reader(body);
    let mut parts: Vec<NamedPart> = Vec::new();
    let (mut number, mut etag, mut text) = (None, None, String::new());
    loop {
        match reader.read_event().map_err(|_| malformed("it is not well-formed XML"))? {
            Event::Start(_) => text.clear(),
            Event::Text(piece) => text.push_str(&piece.decode().map_err(|_| malformed("it is not UTF-8"))?),
            Event::GeneralRef(name) if &*name == b"quot" => text.push('"'),
            Event::End(end) => match end.local_name().as_ref() {
                b"PartNumber" => {
                    let read = text.trim().parse().ok().filter(|number| (1..=10_000).contains(number));
                    number = Some(read.ok_or_else(|| malformed("a PartNumber is not 1 to 10000"))?);
                }
                b"ETag" => etag = Some(text.trim().to_owned()),
                b"Part" => {
                    let (Some(number), Some(etag)) = (number.take(), etag.take()) else {
                        return Err(malformed("a Part has no PartNumber or no ETag"));
                    };
                    if parts.last().is_some_and(|last| last.number >= number) {
                        return Err(OssError::new(
                            OssCode::INVALID_PART_ORDER,
                            "Name the parts in the order of their numbers, each once.",
                        ));
                    }
                    parts.push(NamedPart { number, etag });
                }
                _ => {}
            },
            Event::DocType(_) => return Err(malformed("it must not have a document type")),
            Event::Eof => break,
            _ => {}
        }
    }
    if parts.is_empty() || parts.len() > PARTS_MAX {
        return Err(malformed("name 1 to 10000 parts"));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_parts_is_read_as_both_clients_write_it() {
        let body = "<?xml version='1.0'?><CompleteMultipartUpload><Part><PartNumber>1</PartNumber>\
                    <ETag>\"AB\"</ETag></Part><Part>\n <ETag>&quot;CD&quot;</ETag><PartNumber>3</PartNumber></Part>\
                    </CompleteMultipartUpload>";
        let part = |number, etag: &str| NamedPart { number, etag: etag.to_owned() };
        assert_eq!(read_complete(body.as_bytes()).unwrap(), [part(1, "\"AB\""), part(3, "\"CD\"")]);
        for (bad, code) in [
            ("", OssCode::MALFORMED_XML),
            ("<A><Part></Part></A>", OssCode::MALFORMED_XML),
            ("<A><Part><PartNumber>0</PartNumber><ETag>x</ETag></Part></A>", OssCode::MALFORMED_XML),
            ("<!DOCTYPE a><A/>", OssCode::MALFORMED_XML),
            ("<A><Part></A>", OssCode::MALFORMED_XML),
            (
                "<A><Part><PartNumber>2</PartNumber><ETag>x</ETag></Part>\
                 <Part><PartNumber>2</PartNumber><ETag>x</ETag></Part></A>",
                OssCode::INVALID_PART_ORDER,
            ),
        ] {
            assert_eq!(read_complete(bad.as_bytes()).unwrap_err().code, code, "{bad}");
        }
    }

    #[test]
    fn text_is_escaped_and_parts_are_paged() {
        let refused = OssError::new(OssCode::NO_SUCH_KEY, "no <such> & key");
        let text = error(&refused, "R", "h");
        assert!(
            text.contains("<Code>NoSuchKey</Code>") && text.contains("no &lt;such&gt; &amp; key"),
            "{text}"
        );
        let part = |number| ListedPart { number, etag: "E".into(), bytes: 1, last_modified: String::new() };
        let named = Named { bucket: "b", key: "a b/c", url_encoded: true };
        let page = parts(named, "u", &[part(1), part(2), part(5)], 1, 1);
        for piece in ["<Key>a%20b%2Fc</Key>", "<IsTruncated>true<", "<NextPartNumberMarker>2<"] {
            assert!(page.contains(piece), "{piece}: {page}");
        }
        let last = parts(named, "u", &[part(1), part(2), part(5)], 2, 1_000);
        assert!(last.contains("<IsTruncated>false<") && last.contains("<PartNumber>5<"), "{last}");
    }
}
