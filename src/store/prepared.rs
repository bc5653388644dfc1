//! Statements that are prepared once and kept. diesel caches no UPDATE and no raw
//! SQL, and building a query anew for each row costs more than running it; a
//! [`statement!`] or a [`query!`] is a text with a type for every `?`.
//!
//! Both are of the `Backend` and the `Connection` that are in scope where they
//! stand.

/// A text whose `?` are the fields, in order.
macro_rules! prepared {
    ($($field:ident: $rust:ty => $sql:ty),* ; $text:literal) => {
        struct Prepared<'a> {
            $($field: $rust,)*
            lifetime: std::marker::PhantomData<&'a ()>,
        }

        impl diesel::query_builder::QueryId for Prepared<'_> {
            type QueryId = Prepared<'static>;
            const HAS_STATIC_QUERY_ID: bool = true;
        }

        impl<'a> diesel::query_builder::QueryFragment<Backend> for Prepared<'a> {
            fn walk_ast<'b>(
                &'b self,
                mut out: diesel::query_builder::AstPass<'_, 'b, Backend>,
            ) -> diesel::QueryResult<()> {
                let mut pieces = $text.split('?');
                out.push_sql(pieces.next().unwrap_or_default());
                $(
                    out.push_bind_param::<$sql, _>(&self.$field)?;
                    out.push_sql(pieces.next().unwrap_or_default());
                )*
                Ok(())
            }
        }

        impl diesel::RunQueryDsl<Connection> for Prepared<'_> {}
    };
}

/// Something that writes; answers how many rows it touched.
macro_rules! statement {
    ($(#[$doc:meta])* fn $name:ident($($field:ident: $rust:ty => $sql:ty),* $(,)?) $text:literal) => {
        $(#[$doc])*
        #[allow(clippy::too_many_arguments, clippy::extra_unused_lifetimes, reason = "one argument a column, and not all borrow")]
        pub(super) fn $name<'a>(connection: &mut Connection, $($field: $rust),*) -> diesel::QueryResult<usize> {
            prepared!($($field: $rust => $sql),* ; $text);
            diesel::RunQueryDsl::execute(Prepared::<'a> { $($field,)* lifetime: std::marker::PhantomData }, connection)
        }
    };
}

/// Something that reads rows, or writes and answers with rows.
macro_rules! query {
    (
        $(#[$doc:meta])*
        fn $name:ident($($field:ident: $rust:ty => $sql:ty),* $(,)?) -> $row:ty => ($($column:ty),* $(,)?)
        $text:literal
    ) => {
        $(#[$doc])*
        #[allow(clippy::too_many_arguments, clippy::extra_unused_lifetimes, reason = "one argument a column, and not all borrow")]
        pub(super) fn $name<'a>(connection: &mut Connection, $($field: $rust),*) -> diesel::QueryResult<Vec<$row>> {
            prepared!($($field: $rust => $sql),* ; $text);

            impl diesel::query_builder::Query for Prepared<'_> {
                type SqlType = ($($column,)*);
            }

            diesel::RunQueryDsl::load(Prepared::<'a> { $($field,)* lifetime: std::marker::PhantomData }, connection)
        }
    };
}
