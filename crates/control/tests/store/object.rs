//! Uploads and contents, in a directory.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use creel_control::access::AccessError;
use creel_control::object::{
    ACCOUNT_OBJECTS_MAX, ACCOUNT_RUNNING_MAX, Collected, FileKind, IconType, Kept, ObjectError, Objects,
    TOKEN_MS, UploadGrant, UploadSession,
};
use creel_testkit::{Database, TestStore, both_databases};
use creel_wire::secret::Secret;
use jiff::SignedDuration;

use crate::model::{account, actor, actor_of};

const ZIP: Option<&str> = Some("application/zip");
const PNG: &[u8] = b"\x89PNG\r\n\x1a\nrest";
/// Later than any file of a test, and earlier.
const AFTER: i64 = 4_000_000_000_000;
const BEFORE: i64 = 1_000_000_000_000;

struct Place {
    t: TestStore,
    directory: tempfile::TempDir,
    objects: Objects,
}

async fn place() -> Place {
    let (t, directory) = (creel_testkit::open(Database::Sqlite).await, tempfile::tempdir().unwrap());
    let objects = objects(&t, &directory);
    Place { t, directory, objects }
}

fn objects(t: &TestStore, directory: &tempfile::TempDir) -> Objects {
    let parts = (t.store.clone(), t.ids.clone(), t.sealer.clone(), t.tasks.clone());
    Objects::in_directory(directory.path(), parts.0, parts.1, parts.2, parts.3).unwrap()
}

async fn session(objects: &Objects, grant: &UploadGrant) -> UploadSession {
    objects.open_token(grant.key_id.as_str(), &grant.token).unwrap()
}

impl Place {
    async fn granted(&self, kind: FileKind) -> (UploadSession, String) {
        let grant = self.objects.grant(actor(&self.t, "GetOssStsToken"), kind).await.unwrap();
        (session(&self.objects, &grant).await, grant.prefix)
    }

    async fn upload(&self, session: &UploadSession, key: &str, content: &[u8]) -> String {
        let mut writing = self.objects.begin(session, key, ZIP, Some(content.len() as u64)).await.unwrap();
        writing.push(content).await.unwrap();
        writing.finish(None).await.unwrap().etag()
    }

    /// Every file, those that nothing lists among them.
    fn files(&self) -> Vec<std::path::PathBuf> {
        let entries = walkdir::WalkDir::new(self.directory.path()).into_iter().map(Result::unwrap);
        entries.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path).collect()
    }
}

both_databases! {
    async fn credentials_are_for_one_key_and_leave_a_row_without_secrets(t) {
        let directory = tempfile::tempdir().unwrap();
        let objects = objects(&t, &directory);
        let request = actor(&t, "GetOssStsToken");
        let grant = objects.grant(request.clone(), FileKind::Skill).await.unwrap();
        let twice = objects.grant(request, FileKind::Skill).await.unwrap_err();
        assert!(matches!(twice, ObjectError::Access(AccessError::NonceUsed)), "{twice}");
        let opened = session(&objects, &grant).await;
        assert_eq!(opened.secret.expose(), grant.secret.expose());
        assert!(grant.prefix.starts_with("skill/11/") && !grant.token.expose().contains("skill"));
        let now_ms = t.store.clock().now_ms();
        assert_eq!(grant.expires_at_ms, now_ms + TOKEN_MS);
        assert!(opened.check_time(now_ms + TOKEN_MS - 1).is_ok());
        assert!(matches!(opened.check_time(now_ms + TOKEN_MS), Err(ObjectError::TokenExpired)));
        let other = objects.grant(actor(&t, "GetOssStsToken"), FileKind::Icon).await.unwrap();
        assert_ne!(other.prefix, grant.prefix);
        for (key, token) in [
            (other.key_id.as_str(), grant.token.expose()),
            (grant.key_id.as_str(), "v1.a.b.c"),
            (grant.key_id.as_str(), &t.sealer.seal("security_token", &grant.token).unwrap()),
        ] {
            let refused = objects.open_token(key, &Secret::new(token.to_owned()));
            assert!(matches!(refused, Err(ObjectError::Token)));
        }
        let rows = t.store.db().fetch_all("SELECT resources_json FROM audit", vec![]).await.unwrap();
        let rows: Vec<String> = rows.iter().map(|row| row.text("resources_json").unwrap()).collect();
        assert_eq!(rows.len(), 2);
        assert!(rows.iter().any(|row| row.contains(&grant.prefix) && row.contains(grant.key_id.as_str())));
        assert!(!rows.iter().any(|row| row.contains(grant.secret.expose())));
    }
}

#[tokio::test]
async fn an_upload_is_read_by_its_account_and_its_etag_alone() {
    let place = place().await;
    let (session, prefix) = place.granted(FileKind::Skill).await;
    let key = format!("{prefix}/天气 a.zip");
    let read = async |account_id: &str, key: &str, etag: &str, max: u64| {
        place.objects.read_upload(&account(account_id), key, etag, max).await
    };
    assert!(matches!(read("11", &key, "x", 9).await, Err(ObjectError::NotFound)));
    let etag = place.upload(&session, &key, b"hello").await;
    assert_eq!(etag, "5D41402ABC4B2A76B9719D911017C592");
    for etag in
        [etag.clone(), etag.to_lowercase(), format!("\"{etag}\""), format!(" \"{}\" ", etag.to_lowercase())]
    {
        assert_eq!(read("11", &key, &etag, 5).await.unwrap(), "hello");
    }
    assert!(matches!(read("11", &key, "5D41", 5).await, Err(ObjectError::ETagMismatch)));
    assert!(matches!(read("11", &key, &etag, 4).await, Err(ObjectError::TooLarge(4))));
    assert!(matches!(read("12", &key, &etag, 5).await, Err(ObjectError::NotFound)));
    for key in ["", "skills/x", &format!("{prefix}/../x"), &format!("{prefix}/other.zip")] {
        assert!(matches!(read("11", key, &etag, 5).await, Err(ObjectError::NotFound)), "{key}");
    }
    // The same name again is another upload, and what the first ETag meant is gone.
    let second = place.upload(&session, &key, b"other").await;
    assert!(matches!(read("11", &key, &etag, 5).await, Err(ObjectError::ETagMismatch)));
    assert_eq!(read("11", &key, &second, 5).await.unwrap(), "other");
    let foreign =
        place.objects.grant(actor_of(&place.t, "12", "GetOssStsToken"), FileKind::Skill).await.unwrap();
    let foreign = self::session(&place.objects, &foreign).await;
    assert!(matches!(place.objects.head(&foreign, &key).await, Err(ObjectError::ForeignKey)));
    assert!(matches!(place.objects.begin(&foreign, &key, ZIP, Some(1)).await, Err(ObjectError::ForeignKey)));
    // Another process with the same master key and directory sees the same.
    let beside = objects(&place.t, &place.directory);
    assert_eq!(beside.read_upload(&account("11"), &key, &second, 5).await.unwrap(), "other");
    place.objects.delete_upload(&account("11"), &key).await.unwrap();
    assert!(matches!(read("11", &key, &second, 5).await, Err(ObjectError::NotFound)));
}

#[tokio::test]
async fn nothing_is_there_before_all_of_it_is() {
    let place = place().await;
    let (session, prefix) = place.granted(FileKind::Icon).await;
    let key = format!("{prefix}/icon.png");
    let bytes_max = FileKind::Icon.bytes_max();
    let declared = place.objects.begin(&session, &key, None, Some(bytes_max + 1)).await;
    assert!(matches!(declared, Err(ObjectError::TooLarge(_))));
    let mut longer = place.objects.begin(&session, &key, None, None).await.unwrap();
    let chunk = vec![7; 256 << 10];
    for _ in 0..4 {
        longer.push(&chunk).await.unwrap();
    }
    assert!(matches!(longer.push(b"x").await, Err(ObjectError::TooLarge(max)) if max == bytes_max));
    drop(longer);
    let mut wrong = place.objects.begin(&session, &key, None, Some(5)).await.unwrap();
    wrong.push(b"hello").await.unwrap();
    assert!(matches!(wrong.finish(Some([0; 16])).await, Err(ObjectError::Digest)));
    assert!(matches!(place.objects.head(&session, &key).await, Err(ObjectError::NotFound)));
    // One that is large enough to be written while it comes, and is then broken off.
    let (session, prefix) = place.granted(FileKind::Skill).await;
    let key = format!("{prefix}/large.zip");
    let mut broken = place.objects.begin(&session, &key, None, None).await.unwrap();
    for _ in 0..24 {
        broken.push(&chunk).await.unwrap();
    }
    assert!(matches!(place.objects.head(&session, &key).await, Err(ObjectError::NotFound)));
    drop(broken);
    place.t.tasks.shutdown(Duration::from_secs(10)).await;
    assert_eq!(place.files(), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn what_a_crash_left_is_collected_and_never_seen() {
    let place = place().await;
    let (session, prefix) = place.granted(FileKind::Skill).await;
    let key = format!("{prefix}/a.zip");
    place.upload(&session, &key, b"hello").await;
    let upload_id = place.objects.initiate(&session, &key, ZIP).await.unwrap();
    let mut part = place.objects.begin_part(&session, &key, &upload_id, 1, Some(4)).await.unwrap();
    part.push(b"part").await.unwrap();
    part.finish(None).await.unwrap();
    let mut file =
        place.files().into_iter().find(|path| path.to_string_lossy().contains("/uploads/")).unwrap();
    file.set_file_name("cut-off#1");
    std::fs::write(&file, b"half").unwrap();
    for (hash, content) in [("a".repeat(64), "kept"), ("b".repeat(64), "orphan")] {
        place.objects.put_skill(&hash, Bytes::from(content)).await.unwrap();
    }
    let icon = place.objects.put_icon(Bytes::from_static(PNG)).await.unwrap();
    let kept = Kept { skills: ["a".repeat(64)].into(), icons: [icon.clone()].into() };
    assert_eq!(place.objects.collect(BEFORE, &kept).await.unwrap(), Collected::default());
    // One is put again meanwhile: it is as new.
    let orphan = Bytes::from_static(b"orphan");
    let collected = place.objects.collect(AFTER, &kept).await.unwrap();
    assert_eq!(collected, Collected { uploads: 4, contents: 1 });
    assert!(matches!(place.objects.get_skill(&"b".repeat(64)).await, Err(ObjectError::NotFound)));
    assert_eq!(place.objects.get_skill(&"a".repeat(64)).await.unwrap(), "kept");
    assert_eq!(place.objects.get_icon(&icon).await.unwrap(), (IconType::Png, Bytes::from_static(PNG)));
    assert!(matches!(place.objects.parts(&session, &key, &upload_id).await, Err(ObjectError::NoUpload)));
    assert_eq!(place.files().len(), 2);
    place.objects.put_skill(&"b".repeat(64), orphan.clone()).await.unwrap();
    assert_eq!(place.objects.get_skill(&"b".repeat(64)).await.unwrap(), orphan);
    assert_eq!(place.objects.collect(BEFORE, &Kept::default()).await.unwrap(), Collected::default());
    place.objects.delete_skill(&"b".repeat(64)).await.unwrap();
    place.objects.delete_skill(&"b".repeat(64)).await.unwrap();
    place.objects.delete_icon(&icon).await.unwrap();
    assert!(matches!(place.objects.get_icon(&icon).await, Err(ObjectError::NotFound)));
}

#[tokio::test]
async fn a_damaged_file_is_never_given_out() {
    let place = place().await;
    let hash = "c".repeat(64);
    place.objects.put_skill(&hash, Bytes::from_static(b"content")).await.unwrap();
    let file = place.files().pop().unwrap();
    let good = std::fs::read(&file).unwrap();
    for damage in [&good[1..], &good[..good.len() - 1], b"", b"content", &[b"C", &good[1..]].concat()] {
        std::fs::write(&file, damage).unwrap();
        let read = place.objects.get_skill(&hash).await;
        assert!(matches!(read, Err(ObjectError::Damaged(_) | ObjectError::Storage(_))), "{read:?}");
    }
    for hash in ["", "../../master.key", &"C".repeat(64), &"c".repeat(63)] {
        assert!(matches!(place.objects.get_skill(hash).await, Err(ObjectError::BadHash)), "{hash}");
    }
}

#[tokio::test]
async fn parts_become_one_upload_in_the_order_that_is_named() {
    let place = place().await;
    let (session, prefix) = place.granted(FileKind::Skill).await;
    let key = format!("{prefix}/a.zip");
    let upload_id = place.objects.initiate(&session, &key, ZIP).await.unwrap();
    let mut named = Vec::new();
    for (number, content) in [(2, "two"), (1, "first"), (1, "one"), (7, "left out")] {
        let bytes = Some(content.len() as u64);
        let mut part = place.objects.begin_part(&session, &key, &upload_id, number, bytes).await.unwrap();
        part.push(content.as_bytes()).await.unwrap();
        named.push((number, part.finish(None).await.unwrap().etag()));
    }
    let parts = place.objects.parts(&session, &key, &upload_id).await.unwrap();
    let shown: Vec<(u16, u64)> = parts.iter().map(|part| (part.number, part.stored.bytes)).collect();
    assert_eq!(shown, [(1, 3), (2, 3), (7, 8)]);
    let complete =
        async |named: &[(u16, String)]| place.objects.complete(&session, &key, &upload_id, named).await;
    let (two, first, one) = (named[0].clone(), named[1].clone(), named[2].clone());
    assert!(matches!(complete(&[first, two.clone()]).await, Err(ObjectError::BadPart(1))));
    assert!(matches!(complete(&[one.clone(), (3, one.1.clone())]).await, Err(ObjectError::BadPart(3))));
    let stored = complete(&[one, two]).await.unwrap();
    // md5(md5("one") + md5("two")), and the content type that the upload began with.
    assert_eq!((stored.etag().as_str(), stored.bytes), ("1397B7EE3222E3980D0D20F23A871B02-2", 6));
    assert_eq!(stored.content_type, "application/zip");
    let whole = place.objects.read_upload(&account("11"), &key, &stored.etag(), 6).await.unwrap();
    assert_eq!(whole, "onetwo");
    for upload_id in [upload_id.as_str(), "../../../x", ""] {
        assert!(matches!(place.objects.abort(&session, &key, upload_id).await, Err(ObjectError::NoUpload)));
    }
    assert_eq!(place.files().len(), 1, "{:?}", place.files());
    // An upload of one name is none of another, and one that is given up leaves nothing.
    let upload_id = place.objects.initiate(&session, &key, ZIP).await.unwrap();
    let other = format!("{prefix}/b.zip");
    assert!(matches!(place.objects.parts(&session, &other, &upload_id).await, Err(ObjectError::NoUpload)));
    place.objects.abort(&session, &key, &upload_id).await.unwrap();
    assert_eq!(place.files().len(), 1);
    // All parts together are no more than one upload may be.
    let upload_id = place.objects.initiate(&session, &key, ZIP).await.unwrap();
    let most = FileKind::Skill.bytes_max();
    let mut part = place.objects.begin_part(&session, &key, &upload_id, 1, Some(5)).await.unwrap();
    part.push(b"12345").await.unwrap();
    part.finish(None).await.unwrap();
    let too_large = place.objects.begin_part(&session, &key, &upload_id, 2, Some(most - 4)).await;
    assert!(matches!(too_large, Err(ObjectError::TooLarge(left)) if left == most - 5));
    assert!(place.objects.begin_part(&session, &key, &upload_id, 1, Some(most)).await.is_ok());
}

#[tokio::test]
async fn an_account_has_so_many_uploads_and_no_more() {
    let place = place().await;
    let (session, prefix) = place.granted(FileKind::Skill).await;
    let begin =
        async |name: &str| place.objects.begin(&session, &format!("{prefix}/{name}"), ZIP, Some(1)).await;
    let mut running = Vec::new();
    for number in 0..ACCOUNT_RUNNING_MAX {
        running.push(begin(&number.to_string()).await.unwrap());
    }
    assert!(matches!(begin("more").await, Err(ObjectError::Busy)));
    // Those of another account do not wait for it.
    let other =
        place.objects.grant(actor_of(&place.t, "12", "GetOssStsToken"), FileKind::Skill).await.unwrap();
    let theirs = self::session(&place.objects, &other).await;
    let key = format!("{}/a", other.prefix);
    assert!(place.objects.begin(&theirs, &key, ZIP, Some(1)).await.is_ok());
    running.pop();
    assert!(begin("again").await.is_ok());
    running.clear();
    // What waits in the directory counts, however it came there.
    let beside = objects(&place.t, &place.directory);
    let folder = place.directory.path().join("uploads/11/skill/x");
    std::fs::create_dir_all(&folder).unwrap();
    let large = std::fs::File::create(folder.join("large")).unwrap();
    large.set_len((1 << 30) - 100).unwrap();
    let key = format!("{prefix}/one");
    assert!(matches!(beside.begin(&session, &key, ZIP, Some(1)).await, Err(ObjectError::Quota)));
    large.set_len(0).unwrap();
    for number in 0..ACCOUNT_OBJECTS_MAX {
        std::fs::File::create(folder.join(number.to_string())).unwrap();
    }
    let third = objects(&place.t, &place.directory);
    assert!(matches!(third.begin(&session, &key, ZIP, Some(1)).await, Err(ObjectError::Quota)));
}

#[tokio::test]
async fn icons_are_pictures_and_are_shown_for_a_while_to_who_has_the_address() {
    let place = place().await;
    let put = async |content: &[u8]| place.objects.put_icon(Bytes::copy_from_slice(content)).await;
    for (content, kind) in [
        (PNG, IconType::Png),
        (b"\xff\xd8\xff\xe0rest", IconType::Jpeg),
        (b"GIF89arest", IconType::Gif),
        (b"RIFF\0\0\0\0WEBPrest", IconType::WebP),
    ] {
        let hash = put(content).await.unwrap();
        assert_eq!(place.objects.get_icon(&hash).await.unwrap().0, kind);
    }
    for content in
        [&b"<svg xmlns='http://www.w3.org/2000/svg'/>"[..], b"", b"GIF", b"RIFF\0\0\0\0WAVE", b"<html>"]
    {
        assert!(matches!(put(content).await, Err(ObjectError::NotAnImage)));
    }
    let too_large = [PNG, &vec![0; 1 << 20]].concat();
    assert!(matches!(put(&too_large).await, Err(ObjectError::TooLarge(_))));

    let hash = put(PNG).await.unwrap();
    let url = place.objects.icon_url("http://creel:8080/", &hash);
    let (path, query) = url.split_once('?').unwrap();
    assert_eq!(path, format!("http://creel:8080/creel-skills/icons/{hash}"));
    let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)).unwrap().to_owned();
    let (expires, signature): (i64, String) = (value("expires=").parse().unwrap(), value("signature="));
    assert!(place.objects.is_icon_url(&hash, expires, &signature));
    assert!(!place.objects.is_icon_url(&"a".repeat(64), expires, &signature));
    assert!(!place.objects.is_icon_url(&hash, expires + 1, &signature));
    assert!(!place.objects.is_icon_url(&hash, expires, &signature[..30]));
    assert!(!place.objects.is_icon_url(&hash, expires, "no hexadecimal"));
    place.t.clock.advance(SignedDuration::from_hours(20));
    assert_eq!(place.objects.icon_url("http://creel:8080", &hash), url);
    place.t.clock.advance(SignedDuration::from_hours(4));
    assert!(place.objects.is_icon_url(&hash, expires, &signature));
    assert_ne!(place.objects.icon_url("http://creel:8080", &hash), url);
    place.t.clock.advance(SignedDuration::from_hours(24));
    assert!(!place.objects.is_icon_url(&hash, expires, &signature));
}

/// Contents that are put while others are collected stay.
#[tokio::test]
async fn a_content_that_is_put_again_is_as_new() {
    let place = place().await;
    let hash = "d".repeat(64);
    place.objects.put_skill(&hash, Bytes::from_static(b"one")).await.unwrap();
    let file = place.files().pop().unwrap();
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(BEFORE).unwrap() - 1);
    std::fs::File::options().write(true).open(&file).unwrap().set_modified(long_ago).unwrap();
    place.objects.put_skill(&hash, Bytes::from_static(b"one")).await.unwrap();
    assert_eq!(place.objects.collect(BEFORE, &Kept::default()).await.unwrap(), Collected::default());
    std::fs::File::options().write(true).open(&file).unwrap().set_modified(long_ago).unwrap();
    let gone = Collected { uploads: 0, contents: 1 };
    assert_eq!(place.objects.collect(BEFORE, &Kept::default()).await.unwrap(), gone);
}
