//! Endpoints: made, changed and deleted in their own scope, each setting a
//! version, each secret for its time.

use std::sync::Arc;
use std::time::Duration;

use posthaste::domain::{
    ClientCertificate, EndpointId, EndpointSettings, Environment, Header, PrivateKey, RetryPolicy, StoredStatus,
    Timestamp,
};
use posthaste::store::{
    EndpointChange, EndpointConflict, NewEndpoint, Notice, PageRequest, Recorded, RotationConflict, Scope, Verdict,
};

use super::world::{HOUR, SECOND, START, World, in_sandbox, new_endpoint, rotation, settings};

for_every_backend! {
    an_endpoint_reads_back_as_it_was_made
    a_url_is_taken_once_in_a_scope
    a_deleted_endpoints_url_is_free_again
    a_partner_has_so_many_endpoints_and_no_more
    a_change_made_from_an_old_version_is_refused
    an_endpoint_belongs_to_one_partner_in_one_environment
    a_deleted_endpoint_is_gone
    a_snapshot_has_what_its_own_scope_wants
    secrets_overlap_and_end
    what_changes_is_told
    lists_walk_everything_newest_first
}

/// Every setting set.
fn rich(word: &str) -> EndpointSettings {
    EndpointSettings {
        description: Some("our \u{e9}ndpoint".into()),
        headers: vec![Header::new("x-token", "a b").expect("plain"), Header::new("x-a", "\"").expect("plain")],
        max_concurrency: 7,
        timeout: Duration::from_millis(1_234),
        retry: Some(RetryPolicy::Schedule(vec![SECOND, HOUR])),
        enabled: false,
        disable_on_gone: true,
        client_certificate: Some(Arc::new(ClientCertificate {
            chain: vec![vec![0x30, 0xff], vec![0x30, 0]],
            key: PrivateKey::new(vec![0, 1, 0xfe]),
            sha256: [0xab; 32],
            subject: Some("CN=\u{e9}".into()),
            not_after: Timestamp::from_millis(1_900_000_000_001),
        })),
        ..settings(word, &["campaign.*", "*", "order.paid"])
    }
}

fn an_endpoint_reads_back_as_it_was_made(world: &mut World) {
    let acme = world.partner("acme");
    world.advance(SECOND);
    let made = world.try_endpoint(&acme, rich("rich")).expect("nothing stands against it");
    assert_eq!(made.settings, rich("rich"));
    assert_eq!((made.partner.clone(), made.environment), (acme.partner.clone(), acme.environment));
    assert_eq!((made.version, made.created_at, made.updated_at, made.deleted_at), (1, world.now, world.now, None));
    world.advance(HOUR);
    world.kill();
    assert_eq!(world.store().endpoint(&acme, made.id).expect("readable"), Some(made.clone()));

    let changed = world.change(&acme, made.id, |settings| settings.retry = None);
    assert_eq!((changed.version, changed.created_at, changed.updated_at), (2, made.created_at, world.now));
    assert_eq!(changed.settings, EndpointSettings { retry: None, ..rich("rich") });
    assert_eq!(world.store().endpoint(&acme, made.id).expect("readable"), Some(changed.clone()));
    let runtime = world.store().endpoint_runtime(made.id, world.now).expect("readable").expect("it is there");
    assert_eq!(runtime.settings, changed.settings);
    assert_eq!(runtime.scope, world.subscriptions(&acme).id);
    assert_eq!(runtime.secrets.len(), 1);
}

fn a_url_is_taken_once_in_a_scope(world: &mut World) {
    let (acme, other) = (world.partner("acme"), world.partner("other"));
    let first = world.endpoint(&acme, "same", &["*"]);
    let second = world.endpoint(&acme, "second", &["*"]);
    assert_eq!(world.try_endpoint(&acme, rich("same")), Err(EndpointConflict::SameUrl(first.id)));
    let moved = world.changed(&acme, second.id, |settings| settings.url = first.settings.url.clone());
    assert_eq!(
        world.commit(|transaction| transaction.change_endpoint(&moved)),
        Err(EndpointConflict::SameUrl(first.id))
    );
    assert_eq!(world.notices.len(), 0);
    assert_eq!(world.store().endpoint(&acme, second.id).expect("readable"), Some(second));

    // Its own URL is no conflict, and elsewhere it is another endpoint.
    world.change(&acme, first.id, |settings| settings.max_concurrency = 3);
    world.endpoint(&other, "same", &["*"]);
    world.endpoint(&in_sandbox(&acme), "same", &["*"]);
}

fn a_deleted_endpoints_url_is_free_again(world: &mut World) {
    let acme = world.partner("acme");
    let first = world.endpoint(&acme, "same", &["*"]);
    world.delete(&acme, first.id);
    let second = world.endpoint(&acme, "same", &["*"]);
    assert_ne!(first.id, second.id);
    world.delete(&acme, second.id);
    let third = world.endpoint(&acme, "other", &["*"]);
    world.change(&acme, third.id, |settings| settings.url = first.settings.url.clone());
    assert_eq!(world.try_endpoint(&acme, settings("same", &["*"])), Err(EndpointConflict::SameUrl(third.id)));
}

fn a_partner_has_so_many_endpoints_and_no_more(world: &mut World) {
    let acme = world.partner("acme");
    let limited =
        |scope: &Scope, word: &str| NewEndpoint { most_endpoints: 2, ..new_endpoint(scope, settings(word, &["*"])) };
    let first = world.commit(|transaction| transaction.create_endpoint(&limited(&acme, "one"))).expect("room");
    world.commit(|transaction| transaction.create_endpoint(&limited(&acme, "two"))).expect("room");
    let one_too_many = world.commit(|transaction| transaction.create_endpoint(&limited(&acme, "three")));
    assert_eq!(one_too_many, Err(EndpointConflict::TooMany { most: 2 }));
    let sandbox = in_sandbox(&acme);
    world.commit(|transaction| transaction.create_endpoint(&limited(&sandbox, "one"))).expect("room of its own");
    world.delete(&acme, first.id);
    world.commit(|transaction| transaction.create_endpoint(&limited(&acme, "three"))).expect("room again");
}

fn a_change_made_from_an_old_version_is_refused(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "one", &["*"]);
    let mine = world.changed(&acme, endpoint.id, |settings| settings.max_concurrency = 1);
    let theirs = world.changed(&acme, endpoint.id, |settings| settings.enabled = false);
    let answers =
        world.commit(|transaction| Ok([transaction.change_endpoint(&mine)?, transaction.change_endpoint(&theirs)?]));
    let [Ok(changed), Err(EndpointConflict::Outdated)] = &answers else { panic!("{answers:?}") };
    assert_eq!((changed.version, changed.settings.max_concurrency, changed.settings.enabled), (2, 1, true));
    let from_the_future = EndpointChange { from_version: 3, ..theirs };
    assert_eq!(
        world.commit(|transaction| transaction.change_endpoint(&from_the_future)),
        Err(EndpointConflict::Outdated)
    );
    assert_eq!(world.store().endpoint(&acme, endpoint.id).expect("readable").as_ref(), Some(changed));
}

fn an_endpoint_belongs_to_one_partner_in_one_environment(world: &mut World) {
    let (acme, other) = (world.partner("acme"), world.partner("other"));
    let nobody = Scope::of(Environment::Production, "nobody".parse().expect("a name"));
    let endpoint = world.endpoint(&acme, "one", &["*"]);
    for scope in [&other, &in_sandbox(&acme), &nobody] {
        assert_eq!(world.store().endpoint(scope, endpoint.id).expect("readable"), None);
        let change = EndpointChange {
            scope: scope.clone(),
            endpoint: endpoint.id,
            from_version: 1,
            settings: settings("stolen", &["*"]),
        };
        assert_eq!(
            world.commit(|transaction| transaction.change_endpoint(&change)),
            Err(EndpointConflict::NotFound),
            "{scope:?}"
        );
        assert!(!world.commit(|transaction| transaction.delete_endpoint(scope, endpoint.id)), "{scope:?}");
        let stolen = rotation(scope, endpoint.id, "whsec_stolen", Duration::ZERO);
        assert_eq!(world.try_rotate(&stolen), Err(RotationConflict::NotFound), "{scope:?}");
        assert_eq!(world.notices.len(), 0);
    }
    assert_eq!(world.try_endpoint(&nobody, settings("one", &["*"])), Err(EndpointConflict::NotFound));
    assert!(world.store().subscriptions(&nobody).expect("readable").is_none());
    assert_eq!(world.store().endpoint(&acme, endpoint.id).expect("readable"), Some(endpoint.clone()));
    let everyone = Scope::all(Environment::Production);
    assert_eq!(world.store().endpoint(&everyone, endpoint.id).expect("readable"), Some(endpoint));
}

fn a_deleted_endpoint_is_gone(world: &mut World) {
    let acme = world.partner("acme");
    let endpoint = world.endpoint(&acme, "one", &["*"]);
    let before = world.subscriptions(&acme);
    world.delete(&acme, endpoint.id);
    let after = world.subscriptions(&acme);
    assert!(before.version < after.version);
    assert_eq!((before.len(), after.len()), (1, 0));
    let store = world.store();
    assert_eq!(store.endpoint(&acme, endpoint.id).expect("readable"), None);
    assert!(store.endpoint_runtime(endpoint.id, world.now).expect("readable").is_none());
    assert!(store.endpoint_secrets(endpoint.id, world.now).expect("readable").is_empty(), "no secret outlives it");
    assert!(!world.commit(|transaction| transaction.delete_endpoint(&acme, endpoint.id)), "only once");
    assert_eq!(world.notices.len(), 0);
    let change = EndpointChange {
        scope: acme.clone(),
        endpoint: endpoint.id,
        from_version: 1,
        settings: settings("again", &["*"]),
    };
    assert_eq!(world.commit(|transaction| transaction.change_endpoint(&change)), Err(EndpointConflict::NotFound));
}

fn a_snapshot_has_what_its_own_scope_wants(world: &mut World) {
    let (acme, other) = (world.partner("acme"), world.partner("other"));
    let sandbox = in_sandbox(&acme);
    // What they want is written in another order, or shared, or theirs alone.
    let first = world.endpoint(&acme, "first", &["order.*", "campaign.updated"]).id;
    let foreign = world.endpoint(&other, "foreign", &["campaign.updated", "order.*"]).id;
    let all = world.endpoint(&acme, "all", &["*"]).id;
    let tried = world.endpoint(&sandbox, "tried", &["*"]).id;
    let gone = world.endpoint(&acme, "gone", &["*"]).id;
    let second = world.endpoint(&acme, "second", &["campaign.updated", "order.*"]).id;
    let moved = world.endpoint(&other, "moved", &["order.*"]).id;
    world.delete(&acme, gone);
    world.change(&other, moved, |settings| settings.events = vec!["*".parse().expect("a pattern")]);

    let [updated, paid, created] =
        ["campaign.updated", "order.paid", "campaign.created"].map(|name| name.parse().expect("a type"));
    let production = Scope::all(Environment::Production);
    let sandboxes = Scope::all(Environment::Sandbox);
    let expected: [(&Scope, &[EndpointId], &[EndpointId]); 5] = [
        (&acme, &[first, all, second], &[all]),
        (&other, &[foreign, moved], &[moved]),
        (&sandbox, &[tried], &[tried]),
        (&production, &[first, foreign, all, second, moved], &[all, moved]),
        (&sandboxes, &[tried], &[tried]),
    ];
    for (scope, most, few) in expected {
        let snapshot = world.subscriptions(scope);
        assert_eq!(snapshot.len(), most.len(), "{scope:?}");
        assert_eq!(&*snapshot.matching(&updated), most, "{scope:?}");
        assert_eq!(&*snapshot.matching(&paid), most, "{scope:?}");
        assert_eq!(&*snapshot.matching(&created), few, "{scope:?}");
    }
}

fn secrets_overlap_and_end(world: &mut World) {
    let acme = world.partner("acme");
    let (endpoint, other) = (world.endpoint(&acme, "one", &["*"]), world.endpoint(&acme, "other", &["*"]));
    fn rotate(world: &mut World, scope: &Scope, id: EndpointId, secret: &str, overlap: Duration) {
        world.rotate(&rotation(scope, id, secret, overlap));
    }
    let live = |world: &World, after: Duration| -> Vec<(String, Option<Timestamp>)> {
        let at = START + after;
        let secrets = world.store().endpoint_secrets(endpoint.id, at).expect("readable");
        let runtime = world.store().endpoint_runtime(endpoint.id, at).expect("readable").expect("it is there");
        assert!(runtime.secrets == secrets);
        secrets.into_iter().map(|secret| (secret.secret, secret.expires_at)).collect()
    };
    let first = "whsec_https://example.com/one".to_owned();
    rotate(world, &acme, endpoint.id, "second", 24 * HOUR);
    assert_eq!(live(world, HOUR), [("second".to_owned(), None), (first.clone(), Some(START + 24 * HOUR))]);
    assert_eq!(live(world, 24 * HOUR), [("second".to_owned(), None)], "the moment it ends, it is over");

    // A second rotation with a shorter overlap shortens what still signs.
    rotate(world, &acme, endpoint.id, "third", 2 * HOUR);
    let until = Some(START + 2 * HOUR);
    assert_eq!(live(world, HOUR), [("third".into(), None), ("second".into(), until), (first, until)]);
    // One with a longer overlap lengthens nothing that was about to end.
    world.advance(HOUR);
    rotate(world, &acme, endpoint.id, "fourth", 24 * HOUR);
    let later = Some(START + 25 * HOUR);
    assert_eq!(live(world, 3 * HOUR), [("fourth".into(), None), ("third".into(), later)]);
    // None at all ends the others at once: what leaked is worth nothing.
    rotate(world, &acme, endpoint.id, "fifth", Duration::ZERO);
    assert_eq!(live(world, HOUR), [("fifth".into(), None)]);
    assert_eq!(world.store().endpoint_secrets(other.id, START).expect("readable").len(), 1);
}

fn what_changes_is_told(world: &mut World) {
    let acme = world.partner("acme");
    let told = |world: &World| -> Vec<EndpointId> {
        let changed = |notice: &Notice| match notice {
            Notice::EndpointChanged(endpoint) => *endpoint,
            other => panic!("not about an endpoint: {other:?}"),
        };
        world.notices.iter().map(changed).collect()
    };
    let id = world.endpoint(&acme, "one", &["*"]).id;
    assert_eq!(told(world), [id]);
    world.change(&acme, id, |settings| settings.enabled = false);
    assert_eq!(told(world), [id]);
    world.rotate(&rotation(&acme, id, "whsec_new", Duration::ZERO));
    assert_eq!(told(world), [id]);
    world.delete(&acme, id);
    assert_eq!(told(world), [id]);

    world.endpoint(&acme, "two", &["*"]);
    let delivery = world.deliver(&acme, "campaign.updated");
    assert_eq!(
        world.record(&world.attempt(delivery, 0, Verdict::Exhausted)),
        Recorded::Written(StoredStatus::RetriesExhausted)
    );
    assert_eq!(world.notices.len(), 0, "the actor that recorded it knows");
    world.commit(|transaction| transaction.request_attempt(delivery));
    let two = world.delivery(&acme, delivery).endpoint;
    assert!(matches!(world.notices[..], [Notice::AttemptRequested(endpoint)] if endpoint == two));
}

fn lists_walk_everything_newest_first(world: &mut World) {
    let (acme, other) = (world.partner("acme"), world.partner("other"));
    let mut ours = Vec::new();
    let mut all = Vec::new();
    for number in 0..12 {
        let scope = if number % 3 == 0 { &other } else { &acme };
        let endpoint = world.endpoint(scope, &format!("number{number}"), &["*"]);
        world.endpoint(&in_sandbox(scope), &format!("number{number}"), &["*"]);
        if number % 5 == 4 {
            world.delete(scope, endpoint.id);
            continue;
        }
        all.insert(0, endpoint.id);
        if scope == &acme {
            ours.insert(0, endpoint.id);
        }
    }
    for (scope, expected) in [(acme.clone(), ours), (Scope::all(Environment::Production), all)] {
        for limit in [1, 3, 50] {
            let mut walked = Vec::new();
            loop {
                let page = PageRequest { after: walked.last().copied(), limit };
                let page = world.store().endpoints(&scope, &page).expect("readable");
                assert!(page.items.len() <= limit);
                walked.extend(page.items.iter().map(|endpoint| endpoint.id));
                if !page.more {
                    break;
                }
            }
            assert_eq!(walked, expected, "{limit} at a time");
        }
    }
    let foreign = EndpointId::from_uuid(world.accept(&acme, "campaign.updated").id.uuid());
    let page = world.store().endpoints(&acme, &PageRequest { after: Some(foreign), limit: 5 }).expect("readable");
    assert!(page.items.is_empty() && !page.more, "behind what is not there, there is nothing");
}
