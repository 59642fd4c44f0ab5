use creel_control::account::{AccountError, Accounts};
use creel_testkit::both_databases;
use creel_wire::id::AccessKeyId;
use creel_wire::secret::Secret;

both_databases! {
    async fn an_account_name_is_taken_once(t) {
        let accounts = Accounts::new(t.store.clone(), t.sealer.clone(), t.ids.clone());
        let first = accounts.create("acme").await.unwrap();
        assert!(matches!(accounts.create("acme").await, Err(AccountError::NameTaken(name)) if name == "acme"));
        assert_eq!(accounts.find_by_name("acme").await.unwrap(), Some(first.clone()));
        assert_eq!(accounts.list().await.unwrap(), vec![first]);
    }

    async fn a_key_is_sealed_and_can_be_turned_off(t) {
        let accounts = Accounts::new(t.store.clone(), t.sealer.clone(), t.ids.clone());
        let account = accounts.create("acme").await.unwrap();
        let key = accounts.create_key(&account.id).await.unwrap();
        let found = accounts.find_key(&key.id).await.unwrap().expect("the key exists");
        assert_eq!(found.secret, key.secret);
        let row = accounts.list_keys(&account.id).await.unwrap().remove(0);
        assert!(!row.secret_sealed.contains(key.secret.expose()));

        accounts.set_key_active(&account.id, &key.id, false).await.unwrap();
        assert!(!accounts.find_key(&key.id).await.unwrap().expect("the key exists").active);
        let other = accounts.create("other").await.unwrap();
        assert!(matches!(
            accounts.set_key_active(&other.id, &key.id, true).await,
            Err(AccountError::KeyNotFound(_))
        ));
    }

    async fn a_key_of_the_environment_is_made_once_and_never_changed(t) {
        let accounts = Accounts::new(t.store.clone(), t.sealer.clone(), t.ids.clone());
        let account = accounts.create("acme").await.unwrap();
        let id = AccessKeyId::parse("LTAIexample").unwrap();
        for _ in 0..2 {
            accounts.ensure_key(&account.id, id.clone(), Secret::new("one".into())).await.unwrap();
        }
        let changed = accounts.ensure_key(&account.id, id, Secret::new("two".into())).await;
        assert!(matches!(changed, Err(AccountError::KeyTaken(_))));
    }
}
