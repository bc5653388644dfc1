//! The tables, in types that every backend has. Kept by hand beside
//! `migrations/`, which explains the columns.

diesel::table! {
    meta (name) {
        name -> Text,
        value -> Binary,
    }
}

diesel::table! {
    partners (id) {
        id -> BigInt,
        name -> Text,
        created_at -> BigInt,
        erasing_since -> Nullable<BigInt>,
    }
}

diesel::table! {
    scopes (id) {
        id -> BigInt,
        version -> BigInt,
    }
}

diesel::table! {
    versions (subject) {
        subject -> Text,
        version -> BigInt,
    }
}

diesel::table! {
    interests (id) {
        id -> BigInt,
        patterns -> Text,
    }
}

// As many columns as a table may have here; `hurries` is left to SQL of our own.
diesel::table! {
    endpoints (id) {
        id -> BigInt,
        scope -> BigInt,
        url -> Text,
        interest -> BigInt,
        version -> BigInt,
        enabled -> Bool,
        created_version -> BigInt,
        changed_version -> BigInt,
        updated_at -> BigInt,
        deleted_version -> Nullable<BigInt>,
        deleted_at -> Nullable<BigInt>,
        drained -> Bool,
        paused_at -> Nullable<BigInt>,
        discards -> BigInt,
        listens -> Bool,
        braked_since -> Nullable<BigInt>,
    }
}

diesel::table! {
    brakes (scope) {
        scope -> BigInt,
        since -> BigInt,
        reason -> Nullable<Text>,
    }
}

diesel::table! {
    endpoint_health (endpoint) {
        endpoint -> BigInt,
        failing_since -> Nullable<BigInt>,
        opened_at -> Nullable<BigInt>,
        probes -> BigInt,
        probe_at -> Nullable<BigInt>,
        not_before -> Nullable<BigInt>,
        warned_at -> Nullable<BigInt>,
        announced_at -> Nullable<BigInt>,
        disabled_at -> Nullable<BigInt>,
        disabled_reason -> Nullable<Text>,
    }
}

diesel::table! {
    endpoint_versions (endpoint, version) {
        endpoint -> BigInt,
        version -> BigInt,
        since_version -> BigInt,
        settings -> Text,
        since_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    endpoint_secrets (endpoint, number) {
        endpoint -> BigInt,
        number -> BigInt,
        secret -> Text,
        expires_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    event_types (environment, name) {
        environment -> BigInt,
        name -> Text,
        description -> Text,
        schema -> Text,
        example -> Text,
        retry -> Nullable<Text>,
        indexed -> Nullable<Text>,
    }
}

diesel::table! {
    events (id) {
        id -> BigInt,
        scope -> BigInt,
        event_type -> Text,
        deliveries -> BigInt,
        matched_version -> BigInt,
        body -> Binary,
        deliver_at -> Nullable<BigInt>,
        expires_at -> Nullable<BigInt>,
        idempotency_key -> Nullable<Text>,
        retain -> Nullable<BigInt>,
        erased_at -> Nullable<BigInt>,
        erased_by -> Nullable<BigInt>,
    }
}

diesel::table! {
    deliveries (id) {
        id -> BigInt,
        event -> BigInt,
        endpoint -> BigInt,
        status -> BigInt,
        attempt_count -> BigInt,
        scheduled_attempts -> BigInt,
        next_at -> Nullable<BigInt>,
        finished_at -> Nullable<BigInt>,
        sequence -> Nullable<BigInt>,
        order_key -> Nullable<BigInt>,
        replay -> Nullable<BigInt>,
        number -> Nullable<BigInt>,
    }
}

diesel::table! {
    replays (id) {
        id -> BigInt,
        scope -> BigInt,
        state -> BigInt,
        finished_at -> Nullable<BigInt>,
        selection -> Text,
        per_second -> Nullable<BigInt>,
        actor -> Text,
        actor_key -> Nullable<Text>,
        request_key -> Nullable<Text>,
        request_digest -> Nullable<Text>,
    }
}

diesel::table! {
    replay_targets (replay, endpoint) {
        replay -> BigInt,
        endpoint -> BigInt,
        cursor -> BigInt,
        first_event -> Nullable<BigInt>,
        made -> BigInt,
        skipped -> BigInt,
        done -> Bool,
    }
}

diesel::table! {
    endpoint_orders (endpoint) {
        endpoint -> BigInt,
        event_order -> Nullable<Text>,
        last_sequence -> BigInt,
    }
}

diesel::table! {
    unsealed (first_key) {
        first_key -> BigInt,
        last_key -> BigInt,
        matched_version -> BigInt,
    }
}

diesel::table! {
    attempts (delivery, number) {
        delivery -> BigInt,
        number -> BigInt,
        started_at -> BigInt,
        duration_ms -> BigInt,
        status_code -> Nullable<BigInt>,
        error_class -> Nullable<Text>,
        error_message -> Nullable<Text>,
        response_body -> Nullable<Binary>,
        exchange -> Nullable<Text>,
    }
}

diesel::table! {
    manual_attempts (delivery) {
        delivery -> BigInt,
        endpoint -> BigInt,
        requested_at -> BigInt,
    }
}

diesel::table! {
    idempotency_keys (scope, key) {
        scope -> BigInt,
        key -> Text,
        request -> Binary,
        events -> Text,
        refused -> Binary,
        created_at -> BigInt,
    }
}

diesel::table! {
    api_keys (id) {
        id -> BigInt,
        hash -> Binary,
        prefix -> Text,
        role -> Text,
        environment -> Nullable<BigInt>,
        partner -> Nullable<BigInt>,
        description -> Nullable<Text>,
        expires_at -> Nullable<BigInt>,
        revoked_at -> Nullable<BigInt>,
        last_used_at -> Nullable<BigInt>,
        portal_link -> Nullable<BigInt>,
        spent_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    retentions (scope) {
        scope -> BigInt,
        payload_days -> Nullable<BigInt>,
        attempts_days -> Nullable<BigInt>,
        held_days -> Nullable<BigInt>,
        exhausted_days -> Nullable<BigInt>,
    }
}

diesel::table! {
    retention_walks (scope, kept) {
        scope -> BigInt,
        kept -> BigInt,
        after -> BigInt,
    }
}

diesel::table! {
    retention_left (scope, event) {
        scope -> BigInt,
        event -> BigInt,
    }
}

diesel::table! {
    audit_log (number) {
        number -> BigInt,
        at -> BigInt,
        environment -> Nullable<BigInt>,
        partner -> Nullable<Text>,
        actor -> Text,
        actor_key -> Nullable<Text>,
        address -> Nullable<Text>,
        action -> Text,
        subject -> Text,
        detail -> Text,
        salt -> Binary,
        previous_hash -> Binary,
        hash -> Binary,
    }
}

diesel::table! {
    audit_head (id) {
        id -> BigInt,
        number -> BigInt,
        hash -> Binary,
    }
}

diesel::table! {
    search_layouts (id) {
        id -> BigInt,
        fields -> Text,
    }
}

diesel::table! {
    search_segments (id) {
        id -> BigInt,
        first_key -> BigInt,
        last_key -> BigInt,
        events -> BigInt,
        layout -> BigInt,
    }
}

diesel::table! {
    search_entries (id) {
        id -> BigInt,
        entries -> Binary,
    }
}

diesel::table! {
    statistics (resolution, scope, endpoint, bucket, event_type, writer) {
        resolution -> BigInt,
        scope -> BigInt,
        endpoint -> BigInt,
        bucket -> BigInt,
        event_type -> Text,
        writer -> BigInt,
        tally -> Binary,
    }
}

diesel::joinable!(deliveries -> events (event));
diesel::joinable!(deliveries -> endpoints (endpoint));
diesel::allow_tables_to_appear_in_same_query!(
    api_keys,
    attempts,
    brakes,
    deliveries,
    endpoint_orders,
    endpoint_secrets,
    endpoint_versions,
    endpoints,
    event_types,
    events,
    idempotency_keys,
    interests,
    manual_attempts,
    meta,
    partners,
    replay_targets,
    replays,
    retention_left,
    retention_walks,
    retentions,
    scopes,
    search_entries,
    search_layouts,
    search_segments,
    unsealed,
    versions,
);
