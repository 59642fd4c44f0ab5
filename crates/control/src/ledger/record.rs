//! What the journal holds: a record for each reservation, settlement and release, framed so that a torn end can be
//! told from damage.
//!
//! A frame is the magic number, the payload's length and its CRC-32 (each four bytes, little-endian), then the
//! payload, one record as MessagePack, in which structures are their fields in order: a new field goes to the end, with a
//! default. Frames with JSON are read, too, for that is what was written before. A journal in a table has JSON.

use std::sync::Arc;

use creel_wire::id::{CallId, CreditPackId, ResourceGroupId};
use creel_wire::price::Usage;
use serde::{Deserialize, Serialize};

use super::{CallStart, Label};

const MAGIC: [u8; 4] = *b"CRL2";
const MAGIC_JSON: [u8; 4] = *b"CRL1";
const HEADER_BYTES: usize = 12;
/// Longest payload; far above what a record of a call with a thousand packs needs.
const PAYLOAD_BYTES_MAX: usize = 1 << 20;

/// What a reservation holds, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reserve {
    pub(crate) start: CallStart,
    /// The replica whose gateway has the call under way; empty where only one process can.
    #[serde(default)]
    pub(crate) holder: String,
    /// The month whose quota it counts in.
    pub(crate) month: i64,
    /// The resource group whose quota it counts in besides.
    #[serde(default)]
    pub(crate) group: Option<ResourceGroupId>,
    /// It is paid from packs, besides counting against the quota.
    pub(crate) uses_packs: bool,
    /// What packs do not pay is entered without one: a used up pack's strategy is Postpaid.
    #[serde(default)]
    pub(crate) postpaid: bool,
    /// Micro-credits held of each pack, in the order in which they are spent.
    pub(crate) packs: Vec<(CreditPackId, i64)>,
    /// Micro-credits held in all.
    pub(crate) held: i64,
    pub(crate) at_ms: i64,
    pub(crate) deadline_ms: i64,
}

/// One entry to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) pack: Option<CreditPackId>,
    pub(crate) micros: i64,
    pub(crate) unbilled: i64,
    pub(crate) label: Label,
    #[serde(default)]
    pub(crate) postpaid: bool,
}

impl Part {
    /// What no pack pays.
    pub(crate) fn of(micros: i64, label: Label) -> Self {
        Self { pack: None, micros, unbilled: 0, label, postpaid: false }
    }
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settle {
    pub(crate) call_id: CallId,
    pub(crate) usage: Usage,
    pub(crate) parts: Vec<Part>,
    pub(crate) at_ms: i64,
}

/// A line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Record {
    #[serde(rename = "r")]
    Reserve(Arc<Reserve>),
    #[serde(rename = "s")]
    Settle(Arc<Settle>),
    #[serde(rename = "x")]
    Release(CallId),
}

impl Record {
    /// The call it is about.
    pub(crate) fn call_id(&self) -> &CallId {
        match self {
            Record::Reserve(reserve) => &reserve.start.call_id,
            Record::Settle(settle) => &settle.call_id,
            Record::Release(call_id) => call_id,
        }
    }
}

/// Appends the frame of a record to `buffer`.
pub(crate) fn encode(record: &Record, buffer: &mut Vec<u8>) -> std::io::Result<()> {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; HEADER_BYTES]);
    if let Err(error) = rmp_serde::encode::write(buffer, record) {
        buffer.truncate(start);
        return Err(std::io::Error::other(error));
    }
    let payload = buffer.get(start + HEADER_BYTES..).unwrap_or_default();
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let crc = crc32fast::hash(payload);
    let header = MAGIC.into_iter().chain(length.to_le_bytes()).chain(crc.to_le_bytes());
    for (to, from) in buffer.iter_mut().skip(start).zip(header) {
        *to = from;
    }
    Ok(())
}

/// What was read of a journal's file.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) records: Vec<Record>,
    /// Where the sound records end; behind it there is at most one torn record.
    pub(crate) sound_bytes: usize,
}

/// A frame that cannot be read has sound ones behind it: the file is damaged, not torn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Damaged {
    pub(crate) at_byte: usize,
}

/// Reads all frames. An unreadable end is tolerated, an unreadable middle is not.
pub(crate) fn scan(bytes: &[u8]) -> Result<Scan, Damaged> {
    let mut scan = Scan::default();
    while let Some((record, length)) = frame(bytes.get(scan.sound_bytes..).unwrap_or_default()) {
        scan.records.push(record);
        scan.sound_bytes += length;
    }
    let torn = bytes.get(scan.sound_bytes..).unwrap_or_default();
    let sound_follows = (1..torn.len())
        .filter_map(|from| torn.get(from..))
        .any(|rest| rest.starts_with(b"CRL") && frame(rest).is_some());
    if sound_follows { Err(Damaged { at_byte: scan.sound_bytes }) } else { Ok(scan) }
}

/// The first frame and its length, if it is whole and sound.
fn frame(bytes: &[u8]) -> Option<(Record, usize)> {
    let (magic, rest) = bytes.split_first_chunk::<4>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    if length > PAYLOAD_BYTES_MAX {
        return None;
    }
    let payload = rest.get(..length)?;
    if crc32fast::hash(payload) != u32::from_le_bytes(*crc) {
        return None;
    }
    let record = match *magic {
        MAGIC => message(payload)?,
        MAGIC_JSON => serde_json::from_slice(payload).ok()?,
        _ => return None,
    };
    Some((record, HEADER_BYTES + length))
}

/// The one record of a payload.
fn message(payload: &[u8]) -> Option<Record> {
    let mut from = payload;
    let record = Record::deserialize(&mut rmp_serde::Deserializer::new(&mut from)).ok()?;
    from.is_empty().then_some(record)
}

/// What holds of any bytes as a journal: what is sound reads the same again, and is written as it was read.
#[cfg(any(test, fuzzing))]
#[expect(clippy::expect_used, reason = "a test stops at what is wrong")]
#[cfg_attr(test, expect(unreachable_pub, reason = "public for the fuzz target alone"))]
pub fn assert_journal_scans(bytes: &[u8]) {
    let Ok(found) = scan(bytes) else { return };
    let sound = bytes.get(..found.sound_bytes).expect("sound bytes lie within");
    let again = scan(sound).expect("what is sound is not damaged");
    assert_eq!((&again.records, again.sound_bytes), (&found.records, sound.len()));
    let mut written = Vec::new();
    for record in &found.records {
        encode(record, &mut written).expect("what was read can be written");
    }
    assert_eq!(scan(&written).expect("and is sound").records, found.records);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(records: usize) -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut ends) = (Vec::new(), vec![0]);
        for number in 0..records {
            let record = Record::Release(CallId::parse(&format!("call-{number}")).unwrap());
            encode(&record, &mut bytes).unwrap();
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    /// A frame with this payload.
    fn framed(magic: [u8; 4], payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap();
        [&magic, &length.to_le_bytes(), &crc32fast::hash(payload).to_le_bytes(), payload].concat()
    }

    #[test]
    fn frames_with_json_are_read_beside_new_ones() {
        // As they were written until 2026-11-27.
        let reserve = r#"{"r":{"start":{"call_id":"call-1","account_id":"11","runtime_id":"ecd-1","provider_id":"mpt-1",
            "provider_name":"p","model_code":"m","card":{"input":1,"cached_input":2,"cache_write":3,"output":1000,
            "multiplier_micros":1000000},"billed":true,"bound":{"input":4,"cached_input":5,"cache_write":6,"output":7,
            "reasoning":8}},"month":9,"group":null,"uses_packs":true,"postpaid":false,"packs":[["crp-1",7]],"held":7,
            "at_ms":1,"deadline_ms":2}}"#;
        let settle = r#"{"s":{"call_id":"call-1","usage":{"input":11,"cached_input":12,"cache_write":13,"output":14,
            "reasoning":15},"parts":[{"pack":"crp-1","micros":5,"unbilled":16,"label":"exact","postpaid":false}],"at_ms":3}}"#;
        let mut bytes: Vec<u8> =
            [reserve, settle].iter().flat_map(|json| framed(MAGIC_JSON, json.as_bytes())).collect();
        encode(&Record::Release(CallId::parse("call-2").unwrap()), &mut bytes).unwrap();
        let found = scan(&bytes).unwrap();
        assert_eq!(found.sound_bytes, bytes.len());
        let [Record::Reserve(reserve), Record::Settle(settle), Record::Release(released)] =
            &found.records[..]
        else {
            panic!("{:?}", found.records)
        };
        assert_eq!((reserve.held, reserve.packs[0].1, reserve.start.bound.output), (7, 7, 7));
        assert_eq!((&settle.call_id, settle.parts[0].micros), (&reserve.start.call_id, 5));
        assert_eq!(released.as_str(), "call-2");
        // Written anew, as calls under way are into the next file, they are the same, and shorter.
        let mut again = Vec::new();
        found.records.iter().for_each(|record| encode(record, &mut again).unwrap());
        assert_eq!(scan(&again).unwrap().records, found.records);
        assert!(again.len() * 3 < bytes.len(), "{} of {}", again.len(), bytes.len());
        // A field that moved would be read as another one by the next version.
        assert_eq!(
            hex::encode(&again),
            "43524c32440000000989647781a1729a9aa663616c6c2d31a23131a56563642d31a56d70742d31a170a16d9501\
            0203cd03e8ce000f4240c395040506070890a009c0c3c29192a56372702d310707010243524c3223000000c100\
            111f81a17394a663616c6c2d31950b0c0d0e0f9195a56372702d310510a56578616374c20343524c320a000000\
            0ea2aeb081a178a663616c6c2d32"
        );
        // A frame is one record, and of a kind that is known.
        let mut one = Vec::new();
        encode(&found.records[2], &mut one).unwrap();
        let payload = &one[HEADER_BYTES..];
        assert_eq!(framed(MAGIC, payload), one);
        assert_eq!(scan(&framed(MAGIC, &[payload, b"\0"].concat())).unwrap().sound_bytes, 0);
        assert_eq!(scan(&framed(*b"CRL3", payload)).unwrap().sound_bytes, 0);
    }

    #[test]
    fn a_file_cut_at_any_byte_gives_its_whole_records() {
        let (bytes, ends) = journal(8);
        for cut in 0..=bytes.len() {
            let scan = scan(&bytes[..cut]).unwrap();
            let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
            assert_eq!((scan.records.len(), scan.sound_bytes), (whole, ends[whole]), "cut at {cut}");
        }
    }

    #[test]
    fn a_changed_byte_is_damage_unless_it_is_in_the_last_record() {
        let (bytes, ends) = journal(4);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x20;
            let expect = ends.iter().rposition(|end| *end <= at).unwrap();
            match scan(&changed) {
                Ok(scan) => assert!(expect == 3 && scan.records.len() == 3, "byte {at}"),
                Err(damaged) => assert_eq!(damaged.at_byte, ends[expect], "byte {at}"),
            }
        }
    }

    #[test]
    fn mutated_journals_read_as_what_is_sound_in_them() {
        let (bytes, _) = journal(6);
        let mut state = 0x9E37_79B9_7F4A_7C15u64;
        let mut next = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % u64::try_from(below).unwrap()).unwrap()
        };
        for _ in 0..5_000 {
            let mut mutated = bytes.clone();
            for _ in 0..=next(3) {
                let at = next(mutated.len().max(1)).min(mutated.len());
                match next(4) {
                    _ if mutated.is_empty() => break,
                    0 => mutated[at] = u8::try_from(next(256)).unwrap(),
                    1 => drop(mutated.drain(at..(at + next(40)).min(bytes.len()).min(mutated.len()).max(at))),
                    2 => mutated.extend_from_within(at..),
                    _ => mutated.truncate(at.max(1)),
                }
            }
            assert_journal_scans(&mutated);
        }
    }

    #[test]
    fn zeros_behind_the_end_are_a_torn_end() {
        let (mut bytes, ends) = journal(2);
        bytes.extend([0; 4096]);
        let scan = scan(&bytes).unwrap();
        assert_eq!((scan.records.len(), scan.sound_bytes), (2, ends[2]));
    }
}
