//! A guest that is part of the test.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use creel_control::store::{StoreError, params};
use creel_testkit::TestStore;
use creel_wire::guest::{
    DesiredState, EnrollRequest, EnrollResponse, FEATURE_COMMANDS, PROTOCOL_VERSION, ToGuest, ToServer,
    hello_signing_input,
};
use creel_wire::secret::Secret;
use ed25519_dalek::{Signer, SigningKey};
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::TestApp;

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

/// A guest's end of a link.
pub(crate) struct Guest {
    socket: Socket,
    key: SigningKey,
    /// What its agent shows to the gateway.
    pub(crate) virtual_key: Secret,
}

impl Guest {
    /// Enrols and links as the guest of a runtime.
    pub(crate) async fn link(t: &TestStore, app: &TestApp, runtime: &str, runs_commands: bool) -> Self {
        let token = format!("token-of-{runtime}");
        let hash = creel_control::secrets::token_hash(&token);
        let (id, until_ms) = (runtime.to_owned(), t.store.clock().now_ms() + 60_000);
        let written: Result<u64, StoreError> = t
            .store
            .write(move |tx| {
                Box::pin(async move {
                    tx.execute(
                        "INSERT INTO guest (runtime_id, enroll_token_hash, enroll_until_ms, epoch, replica_id)
                         VALUES ($1, $2, $3, 0, '')",
                        params![id, hash, until_ms],
                    )
                    .await
                })
            })
            .await;
        written.unwrap();
        let key = SigningKey::from_bytes(&[7; 32]);
        let public_key = STANDARD.encode(key.verifying_key().to_bytes());
        let request = EnrollRequest { protocol: PROTOCOL_VERSION, token: Secret::new(token), public_key };
        let enrolled: EnrollResponse = app.enroll(&request).await;
        assert_eq!(enrolled.runtime_id.as_str(), runtime);
        let url = app.server.agent_url().replacen("http", "ws", 1) + "/guest/v1/link";
        let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        let mut guest = Self { socket, key, virtual_key: enrolled.virtual_key };
        let ToGuest::Challenge { nonce, .. } = guest.hear().await else { panic!("no challenge") };
        let input = hello_signing_input(&nonce, &enrolled.runtime_id, "boot");
        let mut hello = serde_json::to_value(ToServer::Hello {
            protocol: PROTOCOL_VERSION,
            runtime_id: enrolled.runtime_id,
            boot_id: "boot".to_owned(),
            guest_version: "0".to_owned(),
            signature: STANDARD.encode(guest.sign(&input)),
            features: vec![FEATURE_COMMANDS.to_owned()],
        })
        .unwrap();
        if !runs_commands {
            // Word for word what a guest of the first version says.
            hello.as_object_mut().unwrap().remove("features");
        }
        guest.socket.send(Message::text(hello.to_string())).await.unwrap();
        let ToGuest::Welcome { .. } = guest.hear().await else { panic!("not welcome") };
        guest
    }

    pub(crate) fn sign(&self, input: &[u8]) -> [u8; 64] {
        self.key.sign(input).to_bytes()
    }

    async fn hear(&mut self) -> ToGuest {
        loop {
            let heard = tokio::time::timeout(std::time::Duration::from_secs(20), self.socket.next()).await;
            if let Message::Text(text) = heard.expect("the server speaks").expect("the link lives").unwrap() {
                return serde_json::from_str(&text).unwrap();
            }
        }
    }

    pub(crate) async fn say(&mut self, message: &ToServer) {
        self.socket.send(Message::text(serde_json::to_string(message).unwrap())).await.unwrap();
    }

    pub(crate) async fn invocation(&mut self) -> creel_wire::guest::Invocation {
        loop {
            if let ToGuest::Invoke(invocation) = self.hear().await {
                return invocation;
            }
        }
    }

    /// The next wish.
    pub(crate) async fn desired(&mut self) -> DesiredState {
        loop {
            if let ToGuest::Desired(desired) = self.hear().await {
                return *desired;
            }
        }
    }
}
