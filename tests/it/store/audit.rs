//! The audit log: numbered without gaps, chained, written with what it tells of or
//! not at all, and found again.

use std::net::IpAddr;

use futures_util::future::join3;
use posthaste::clock::Clock;
use posthaste::domain::{
    Actor, AuditAction, AuditHash, AuditHead, AuditRecord, DisabledReason, EndpointId, Environment, KeyId, Role,
};
use posthaste::policy::audit_chain::{Break, Verdict, hash_of};
use posthaste::store::audit::{begin_check, check_more};
use posthaste::store::journal::JournalOptions;
use posthaste::store::{
    AuditEntry, AuditFilter, Effect, Journal, JournalError, PageRequest, Scope, Store, StoreError, Transaction,
};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::world::{HOUR, SECOND, START, World, in_sandbox};

for_every_backend! {
    an_empty_log_is_whole
    entries_are_numbered_and_chained_over_commits_and_restarts
    an_entry_reads_back_as_it_was_told
    what_is_undone_is_not_told
    what_fails_in_a_batch_takes_nothing_of_the_others_with_it
    very_many_entries_are_one_commit
    entries_are_found_by_what_is_asked_for
    entries_are_found_by_who_it_was
    pages_of_the_log_go_on_where_the_last_one_ended
    an_entry_that_was_noted_is_missed_when_the_log_is_another
    what_posthaste_disables_is_told
    verbs_say_whether_they_changed_anything
}

/// An entry about something that a case names.
pub fn entry(subject: &str) -> AuditEntry {
    AuditEntry::new(Actor::Command, AuditAction::KeyCreated).about(subject)
}

/// All of the log, first to last.
#[track_caller]
pub fn log(store: &dyn Store) -> Vec<AuditRecord> {
    store.audit_chain(i64::MIN, 100_000).expect("readable")
}

#[track_caller]
pub fn verdict(store: &dyn Store, noted: Option<AuditHead>) -> Verdict {
    let mut check = begin_check(store, noted).expect("readable");
    while !check.is_over() {
        check_more(store, &mut check).expect("readable");
    }
    check.verdict()
}

/// Asserts that the log is whole and has so many entries.
#[track_caller]
pub fn is_whole(store: &dyn Store, entries: i64) {
    let Verdict { head, broken } = verdict(store, None);
    assert_eq!((broken, head.number), (None, entries));
    let log = log(store);
    assert!(log.iter().map(|record| record.number).eq(1..=entries), "numbered without gaps");
    let last = log.last().map_or(AuditHash::GENESIS, |record| record.hash);
    assert_eq!(head.hash, last);
}

fn subjects(store: &dyn Store) -> Vec<String> {
    log(store).into_iter().map(|record| record.subject).collect()
}

fn an_empty_log_is_whole(world: &mut World) {
    world.partner("acme");
    is_whole(world.store().as_ref(), 0);
    let page = PageRequest { after: None, limit: 10 };
    assert_eq!(world.store().audit(&AuditFilter::default(), &page).expect("readable").items, []);
}

fn entries_are_numbered_and_chained_over_commits_and_restarts(world: &mut World) {
    world.commit(|transaction| {
        transaction.audit(&entry("a"));
        transaction.audit(&entry("b"));
        Ok(())
    });
    // A commit that tells of nothing moves nothing.
    world.partner("acme");
    world.advance(HOUR);
    world.commit(|transaction| {
        transaction.audit(&entry("c"));
        Ok(())
    });
    world.reopen();
    world.commit(|transaction| {
        transaction.audit(&entry("d"));
        Ok(())
    });
    world.kill();
    world.commit(|transaction| {
        transaction.audit(&entry("e"));
        Ok(())
    });
    assert_eq!(subjects(world.store().as_ref()), ["a", "b", "c", "d", "e"]);
    is_whole(world.store().as_ref(), 5);
    let log = log(world.store().as_ref());
    assert_eq!(log[0].previous_hash, AuditHash::GENESIS);
    for (one, next) in log.iter().zip(&log[1..]) {
        assert_eq!(next.previous_hash, one.hash);
        assert_ne!(next.salt, one.salt);
    }
    assert_eq!((log[1].at, log[2].at), (START, START + HOUR));
}

fn an_entry_reads_back_as_it_was_told(world: &mut World) {
    let acme = world.partner("acme");
    let key = KeyId::from_uuid(Uuid::from_u128(7));
    let address: IpAddr = "::ffff:192.0.2.7".parse().expect("an address");
    let detail = r#"{"text":"\u0000 🦀 \" '"}"#;
    let full = AuditEntry {
        key: Some(key),
        address: Some(address),
        ..AuditEntry::new(Actor::Key(Role::Partner), AuditAction::EndpointChanged).of(&acme).about("ep_x").with(detail)
    };
    let bare = AuditEntry::new(Actor::Configured, AuditAction::NodeReleased).about("node_x");
    world.commit(|transaction| {
        transaction.audit(&full);
        transaction.audit(&bare);
        Ok(())
    });
    let [one, other] = <[AuditRecord; 2]>::try_from(log(world.store().as_ref())).expect("two entries");
    let expected = AuditRecord {
        number: 1,
        at: world.now,
        environment: Some(Environment::Production),
        partner: Some("acme".into()),
        actor: "partner".into(),
        key: Some(key.to_string()),
        address: Some("192.0.2.7".into()),
        action: "endpoint.changed".into(),
        subject: "ep_x".into(),
        detail: detail.into(),
        ..one.clone()
    };
    assert_eq!((&one, one.hash), (&expected, hash_of(&expected)));
    assert_eq!((other.environment, other.partner, other.key, other.address), (None, None, None, None));
    assert_eq!((other.actor.as_str(), other.detail.as_str()), ("operator (configured)", "{}"));
}

fn what_is_undone_is_not_told(world: &mut World) {
    world.commit(|transaction| {
        transaction.audit(&entry("first"));
        Ok(())
    });
    let refused = world.try_commit(|transaction| {
        transaction.create_partner(&"acme".parse().expect("a name"))?;
        transaction.audit(&entry("undone"));
        Err::<(), _>(StoreError::Constraint("a case's own".into()))
    });
    assert!(refused.is_err());
    is_whole(world.store().as_ref(), 1);
    // A name that is taken afterwards is no fault, and is free here.
    let made = world.commit(|transaction| {
        let made = transaction.create_partner(&"acme".parse().expect("a name"))?;
        transaction.audit(&entry("second"));
        Ok(made)
    });
    assert!(made.is_some());
    assert_eq!(subjects(world.store().as_ref()), ["first", "second"]);
    is_whole(world.store().as_ref(), 2);
}

fn what_fails_in_a_batch_takes_nothing_of_the_others_with_it(world: &mut World) {
    let (failed, _) = oneshot::channel();
    let options = JournalOptions { queue: 16, queue_bytes: 1 << 10, batch: 16 };
    let (journal, thread) = Journal::start(
        world.take_writer(),
        options,
        Clock::manual(START),
        Default::default(),
        Box::new(|_| ()),
        failed,
    )
    .expect("a thread can be started");
    actix_rt::System::new().block_on(async {
        for turn in 0..8 {
            let told = |name: &str| {
                let entry = entry(&format!("{name}-{turn}"));
                move |transaction: &mut dyn Transaction| {
                    transaction.audit(&entry);
                    Ok(())
                }
            };
            let broken = {
                let entry = entry("broken");
                move |transaction: &mut dyn Transaction| {
                    transaction.audit(&entry);
                    Err::<(), _>(StoreError::Constraint("a case's own".into()))
                }
            };
            let answers = join3(journal.change(told("a")), journal.change(broken), journal.change(told("b"))).await;
            assert!(matches!(answers, (Ok(()), Err(JournalError::Store(_)), Ok(()))), "{answers:?}");
        }
    });
    thread.finish();
    let mut found = subjects(world.store().as_ref());
    found.sort();
    let mut expected: Vec<String> = (0..8).flat_map(|turn| [format!("a-{turn}"), format!("b-{turn}")]).collect();
    expected.sort();
    assert_eq!(found, expected, "each once");
    is_whole(world.store().as_ref(), 16);
}

fn very_many_entries_are_one_commit(world: &mut World) {
    world.commit(|transaction| {
        (0..2_345).for_each(|number| transaction.audit(&entry(&number.to_string())));
        Ok(())
    });
    let expected: Vec<String> = (0..2_345).map(|number: i32| number.to_string()).collect();
    assert_eq!(subjects(world.store().as_ref()), expected);
    is_whole(world.store().as_ref(), 2_345);
}

/// The subjects that a filter finds, newest first.
#[track_caller]
fn found(world: &World, filter: AuditFilter) -> Vec<String> {
    let page = world.store().audit(&filter, &PageRequest { after: None, limit: 100 }).expect("readable");
    assert!(!page.more);
    page.items.into_iter().map(|record| record.subject).collect()
}

fn entries_are_found_by_what_is_asked_for(world: &mut World) {
    let (acme, other) = (world.partner("acme"), world.partner("other"));
    let of = |scope: &Scope, action, subject: &str| AuditEntry::new(Actor::Command, action).of(scope).about(subject);
    let all = Scope::all(Environment::Production);
    let entries = [
        of(&acme, AuditAction::EndpointCreated, "one"),
        of(&in_sandbox(&acme), AuditAction::EndpointCreated, "two"),
        of(&other, AuditAction::EndpointCreated, "three"),
        of(&acme, AuditAction::EndpointPaused, "one"),
        of(&all, AuditAction::BrakeSet, "*"),
        AuditEntry::new(Actor::Command, AuditAction::PartnerCreated)
            .belonging_to(None, acme.partner.clone())
            .about("acme"),
    ];
    for entry in &entries {
        world.commit(|transaction| {
            transaction.audit(entry);
            Ok(())
        });
        world.advance(SECOND);
    }
    let nothing = AuditFilter::default;
    assert_eq!(found(world, nothing()), ["acme", "*", "one", "three", "two", "one"]);
    let of_acme = AuditFilter { partner: acme.partner.clone(), ..nothing() };
    assert_eq!(found(world, of_acme.clone()), ["acme", "one", "two", "one"]);
    let its_own = AuditFilter { environment: Some(Environment::Production), ..of_acme.clone() };
    assert_eq!(found(world, its_own.clone()), ["one", "one"], "what is in no environment is not in this one");
    let in_sandbox = AuditFilter { environment: Some(Environment::Sandbox), ..nothing() };
    assert_eq!(found(world, in_sandbox), ["two"]);
    let action = Some(AuditAction::EndpointCreated);
    assert_eq!(found(world, AuditFilter { action, ..nothing() }), ["three", "two", "one"]);
    assert_eq!(found(world, AuditFilter { action, ..its_own }), ["one"]);
    let subject = |text: &str| AuditFilter { subject: Some(text.into()), ..nothing() };
    assert_eq!(found(world, subject("one")), ["one", "one"]);
    assert_eq!(found(world, subject("ONE' OR '1' = '1")), [""; 0]);
    let since = AuditFilter { since: Some(START + 3 * SECOND), ..nothing() };
    assert_eq!(found(world, since.clone()), ["acme", "*", "one"], "from that moment on");
    let until = AuditFilter { until: Some(START + 4 * SECOND), ..since };
    assert_eq!(found(world, until), ["one"], "and before this one");
}

fn entries_are_found_by_who_it_was(world: &mut World) {
    let key = KeyId::from_uuid(Uuid::from_u128(7));
    let by = |actor, key, subject: &str| {
        let mut entry = AuditEntry::new(actor, AuditAction::KeyCreated).about(subject);
        entry.key = key;
        entry
    };
    let entries = [
        by(Actor::Command, None, "one"),
        by(Actor::Key(Role::Operator), Some(key), "two"),
        by(Actor::Configured, None, "three"),
        by(Actor::Key(Role::Operator), Some(KeyId::from_uuid(Uuid::from_u128(8))), "four"),
        by(Actor::Key(Role::Partner), Some(key), "five"),
    ];
    world.commit(|transaction| {
        entries.iter().for_each(|entry| transaction.audit(entry));
        Ok(())
    });
    let actor = |actor: Actor| AuditFilter { actor: Some(actor.as_str().to_owned()), ..AuditFilter::default() };
    assert_eq!(found(world, actor(Actor::Key(Role::Operator))), ["four", "two"]);
    assert_eq!(found(world, actor(Actor::Configured)), ["three"]);
    assert_eq!(found(world, actor(Actor::Posthaste)), [""; 0]);
    let of_key = AuditFilter { key: Some(key), ..AuditFilter::default() };
    assert_eq!(found(world, of_key.clone()), ["five", "two"]);
    assert_eq!(found(world, AuditFilter { actor: Some("partner".to_owned()), ..of_key }), ["five"]);
}

fn pages_of_the_log_go_on_where_the_last_one_ended(world: &mut World) {
    for number in 1..=7 {
        world.commit(|transaction| {
            transaction.audit(&entry(&number.to_string()));
            Ok(())
        });
    }
    let mut walked: Vec<i64> = Vec::new();
    loop {
        let after = walked.last().map(|number| u64::try_from(*number).expect("a number"));
        let page = world.store().audit(&AuditFilter::default(), &PageRequest { after, limit: 3 }).expect("readable");
        walked.extend(page.items.iter().map(|record| record.number));
        if !page.more {
            break;
        }
    }
    assert_eq!(walked, [7, 6, 5, 4, 3, 2, 1]);
    for after in [0, u64::MAX] {
        let page = PageRequest { after: Some(after), limit: 3 };
        let page = world.store().audit(&AuditFilter::default(), &page).expect("readable");
        assert_eq!(page.items.len(), if after == 0 { 0 } else { 3 });
    }
}

fn an_entry_that_was_noted_is_missed_when_the_log_is_another(world: &mut World) {
    let told = |world: &mut World, subject: &str| {
        world.commit(|transaction| {
            transaction.audit(&entry(subject));
            Ok(())
        });
    };
    told(world, "a");
    told(world, "b");
    let noted = verdict(world.store().as_ref(), None).head;
    told(world, "c");
    assert_eq!(verdict(world.store().as_ref(), Some(noted)).broken, None);
    // The same words, but not the same log.
    let mut other = world.beside();
    told(&mut other, "a");
    assert_eq!(verdict(other.store().as_ref(), Some(noted)).broken, Some((2, Break::CutOff)));
    told(&mut other, "b");
    assert_eq!(verdict(other.store().as_ref(), Some(noted)).broken, Some((2, Break::NotAsNoted)));
    assert_eq!(verdict(other.store().as_ref(), None).broken, None);
}

fn what_posthaste_disables_is_told(world: &mut World) {
    let acme = world.partner("acme");
    let id = world.endpoint(&acme, "all", &["*"]).id;
    for disabled in [true, false] {
        assert_eq!(
            world.commit(|transaction| transaction.disable_endpoint(id, DisabledReason::Gone, None)),
            disabled,
            "once"
        );
    }
    let log = log(world.store().as_ref());
    let [only] = log.as_slice() else { panic!("not one entry: {log:?}") };
    assert_eq!((only.actor.as_str(), only.action.as_str()), ("posthaste", "endpoint.disabled"));
    assert_eq!((&only.subject, only.partner.as_deref()), (&id.to_string(), Some("acme")));
    assert_eq!((only.environment, only.detail.as_str()), (Some(Environment::Production), r#"{"reason":"gone"}"#));
}

fn verbs_say_whether_they_changed_anything(world: &mut World) {
    let acme = world.partner("acme");
    let id = world.endpoint(&acme, "all", &["*"]).id;
    let delivery = world.deliver(&acme, "a.a");
    let changes = |effects: [Option<Effect<_>>; 2]| effects.map(|effect| effect.expect("it is there").is_change());
    let paused = world
        .commit(|transaction| Ok([transaction.pause_endpoint(&acme, id)?, transaction.pause_endpoint(&acme, id)?]));
    assert_eq!(changes(paused), [true, false]);
    let resumed = world
        .commit(|transaction| Ok([transaction.resume_endpoint(&acme, id)?, transaction.resume_endpoint(&acme, id)?]));
    assert_eq!(changes(resumed), [true, false]);
    for (reason, is_change) in [(None, true), (None, false), (Some("a"), true), (Some("a"), false), (Some("b"), true)] {
        let brake = world.commit(|transaction| transaction.set_brake(&acme, reason)).expect("it is there");
        assert_eq!(brake.is_change(), is_change, "{reason:?}");
    }
    world.release(&acme);
    let asked = world
        .commit(|transaction| Ok([transaction.request_attempt(delivery)?, transaction.request_attempt(delivery)?]));
    assert_eq!(asked, [true, false]);
    let nobody = EndpointId::from_uuid(Uuid::from_u128(7));
    assert_eq!(world.commit(|transaction| transaction.pause_endpoint(&acme, nobody)), None);
}
