//! The storage contract, held against every backend, and what each backend promises beyond it.

mod backends;
mod barrier;
mod contract;
mod crash;
mod faulty;
mod host;
mod host_step;
mod listing;
mod model;
mod postgres;
mod redb;
mod snapshot;
mod step;

#[path = "../support/debian.rs"]
#[allow(dead_code, reason = "shared with tests that use the rest of it")]
mod debian;
#[path = "../support/fake_host.rs"]
#[allow(dead_code, reason = "shared with tests that use the rest of it")]
mod fake_host;
#[path = "../support/pg_proxy.rs"]
mod pg_proxy;
#[path = "../support/postgres.rs"]
#[allow(dead_code, reason = "shared with tests that use the rest of it")]
mod postgres_server;

/// Runs every function of the suite named on every backend, each on a store of its own.
macro_rules! on_every_backend {
    ($suite:ident: $($case:ident),* $(,)?) => {
        on_every_backend_with_snapshots!($suite: $($case),*);
        on_every_backend!(@ host_with_transactions, $suite: $($case),*);
        on_every_backend!(@ host_without_transactions, $suite: $($case),*);
    };
    (@ $backend:ident, $suite:ident: $($case:ident),*) => {
        mod $backend {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let backend = crate::backends::$backend();
                    crate::$suite::$case(&backend).await;
                }
            )*
        }
    };
}

/// The same on those that give snapshots: all but a mounting vault's.
macro_rules! on_every_backend_with_snapshots {
    ($suite:ident: $($case:ident),* $(,)?) => {
        on_every_backend!(@ memory, $suite: $($case),*);
        on_every_backend!(@ sequential_memory, $suite: $($case),*);
        on_every_backend!(@ redb, $suite: $($case),*);
        on_every_backend!(@ barrier_over_memory, $suite: $($case),*);
        on_every_backend!(@ barrier_over_redb, $suite: $($case),*);
        on_every_backend!(@ postgres, $suite: $($case),*);
        on_every_backend!(@ postgres_prepared, $suite: $($case),*);
        on_every_backend!(@ postgres_serializable, $suite: $($case),*);
        on_every_backend!(@ barrier_over_postgres, $suite: $($case),*);
    };
}

mod contract_holds {
    on_every_backend!(contract:
        every_expectation_against_every_state,
        a_check_writes_nothing,
        a_write_sees_those_before_it,
        a_conflict_names_the_first_write,
        all_or_nothing_or_in_order,
        nothing_to_do_is_done,
        reads_come_in_order_and_unchanged_is_not_sent_again,
        no_revision_returns_after_deletion,
        large_values_come_back_whole,
        no_update_is_lost,
        of_many_creators_one_wins,
    );
}

mod step_holds {
    on_every_backend!(step:
        a_step_reads_what_is_there_now,
        a_step_that_is_dropped_has_only_read,
        a_step_writes_what_nobody_changed_meanwhile,
        a_step_holds_every_expectation,
        steps_lose_no_update,
    );
}

mod listing_holds {
    on_every_backend!(listing:
        one_level_sorted_by_bytes,
        a_key_that_is_also_a_folder,
        pages_join_to_the_whole,
        limits,
        prefixes_do_not_leak_into_neighbours,
        after_need_not_exist,
        a_prefix_must_be_a_folder,
        deleted_keys_are_gone,
    );
}

mod snapshot_holds {
    on_every_backend_with_snapshots!(snapshot:
        nothing_is_an_empty_snapshot,
        it_has_everything_once_in_the_order_of_bytes,
        what_is_written_meanwhile_does_not_show,
        batches_are_bounded_in_bytes,
        writers_are_not_held_up,
    );
}

mod model_holds {
    on_every_backend!(model: random_operations_agree_with_the_model);
}
