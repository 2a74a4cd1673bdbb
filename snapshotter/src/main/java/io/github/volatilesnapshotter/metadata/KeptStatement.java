package io.github.volatilesnapshotter.metadata;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import org.jspecify.annotations.Nullable;

/** A statement that is compiled once and run thousands of times a second. Used by one thread at a time. */
final class KeptStatement {
    private final Connection connection;
    private final String sql;
    private @Nullable PreparedStatement prepared;

    KeptStatement(Connection connection, String sql) {
        this.connection = connection;
        this.sql = sql;
    }

    PreparedStatement prepared() throws SQLException {
        PreparedStatement statement = prepared;
        if (statement == null) {
            statement = connection.prepareStatement(sql);
            prepared = statement;
        }
        return statement;
    }

    /** For a statement that has to change one row. */
    void changeOneRow() throws SQLException {
        changeRows(1);
    }

    /** For a statement that has to change so many rows. */
    void changeRows(int expected) throws SQLException {
        int rows = prepared().executeUpdate();
        if (rows != expected) {
            throw new SQLException(
                    "changed " + rows + " rows instead of " + expected + ": has another program written to the file?");
        }
    }

    /** After a failure: the driver has finalized the statement, so that it must be compiled anew (sqlite-jdbc, DB.execute). */
    void forget() {
        prepared = null;
    }
}
