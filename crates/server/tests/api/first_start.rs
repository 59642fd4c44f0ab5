//! What the first start makes, who may read it, and that a second server keeps away.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use creel::config::{Config, ConfigError, DriverKind, EnvironmentSecrets};
use creel::serve::{ServeError, Server};
use creel_control::clock::SystemClock;
use creel_control::secrets::Sealer;
use creel_wire::secret::Secret;

fn config(data_dir: &Path) -> Config {
    Config {
        data_dir: data_dir.to_path_buf(),
        admin_listen: "127.0.0.1:0".parse().expect("an address"),
        agent_listen: "127.0.0.1:0".parse().expect("an address"),
        driver: DriverKind::None,
        ..Config::default()
    }
}

async fn start(config: Config) -> Result<Server, ServeError> {
    Server::start(config, Arc::new(SystemClock)).await
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_start_makes_keys_that_only_the_owner_reads_and_later_starts_keep() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let data_dir = folder.path().join("new").join("data");
    let server = start(config(&data_dir)).await.expect("starts");
    assert_eq!(mode(&data_dir), 0o700);
    for name in ["master.key", "root-access-key.json", "creel.db", "creel.lock"] {
        assert_eq!(mode(&data_dir.join(name)), 0o600, "{name}");
    }
    let text = std::fs::read(data_dir.join("root-access-key.json")).expect("readable");
    let credentials: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    let key_id = credentials["AccessKeyId"].as_str().expect("an id").parse().expect("an id");
    let key = server.accounts().find_key(&key_id).await.expect("reads").expect("the key exists");
    assert_eq!(Some(key.secret.expose()), credentials["AccessKeySecret"].as_str());
    assert_eq!(credentials["ConsolePassword"].as_str().map(str::len), Some(30));
    drop(key);
    assert_eq!(server.shutdown().await, 0);

    let server = start(config(&data_dir)).await.expect("starts again");
    assert_eq!(std::fs::read(data_dir.join("root-access-key.json")).expect("readable"), text);
    assert_eq!(server.shutdown().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_was_written_and_not_yet_stored_is_stored_by_the_next_start() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = serde_json::json!({"AccessKeyId": "LTAIwritten", "AccessKeySecret": "s"});
    std::fs::write(folder.path().join("root-access-key.json"), file.to_string()).expect("writes");
    let server = start(config(folder.path())).await.expect("starts");
    let key = server.accounts().find_key(&"LTAIwritten".parse().expect("an id")).await.expect("reads");
    assert_eq!(key.expect("the key exists").secret.expose(), "s");
    assert_eq!(server.shutdown().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_environment_gives_stands_in_no_file() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let mut config = config(folder.path());
    let given = |text: &str| Secret::new(text.to_owned());
    config.environment = EnvironmentSecrets {
        master_key: Some(Secret::new(Sealer::generate_base64().to_string())),
        root_access_key: Some(("LTAIgiven".parse().expect("an id"), given("a-given-secret"))),
        console_password: Some(given("a-given-password")),
    };
    let server = start(config.clone()).await.expect("starts");
    assert_eq!(server.shutdown().await, 0);
    for name in ["master.key", "root-access-key.json"] {
        assert!(!folder.path().join(name).exists(), "{name}");
    }
    for entry in std::fs::read_dir(folder.path()).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_file() {
            let bytes = std::fs::read(&path).expect("readable");
            for secret in ["a-given-secret", "a-given-password"] {
                assert!(
                    !bytes.windows(secret.len()).any(|window| window == secret.as_bytes()),
                    "{}",
                    path.display()
                );
            }
        }
    }
    // Another master key is told at the start, not at the first request.
    config.environment.master_key = Some(Secret::new(Sealer::generate_base64().to_string()));
    assert!(matches!(start(config).await, Err(ServeError::RootAccount(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_server_keeps_away_from_the_files_of_the_first() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let other = tempfile::tempdir().expect("a temporary directory");
    let server = start(config(folder.path())).await.expect("starts");
    let second = start(config(folder.path())).await;
    assert!(matches!(second, Err(ServeError::Config(ConfigError::Locked { .. }))), "{second:?}");
    let mut same_database = config(other.path());
    same_database.database = Some(format!("sqlite:{}", folder.path().join("creel.db").display()));
    let second = start(same_database).await;
    assert!(matches!(second, Err(ServeError::Config(ConfigError::Locked { .. }))), "{second:?}");
    assert_eq!(server.shutdown().await, 0);
    assert_eq!(start(config(folder.path())).await.expect("starts").shutdown().await, 0);
}
