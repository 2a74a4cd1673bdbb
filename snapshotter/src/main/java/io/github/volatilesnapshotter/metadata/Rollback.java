package io.github.volatilesnapshotter.metadata;

import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Statement;

/** Takes a failed transaction back. */
final class Rollback {
    private Rollback() {}

    /** Rolls back; if that fails too, the failure says so. */
    static void after(Exception failure, Connection connection) {
        try (Statement statement = connection.createStatement()) {
            statement.execute("ROLLBACK");
        } catch (SQLException e) {
            // SQLite rolls back by itself after some errors (lang_transaction.html, 3): then there is nothing left to
            // do.
            if (!String.valueOf(e.getMessage()).contains("no transaction is active")) {
                failure.addSuppressed(e);
            }
        }
    }
}
