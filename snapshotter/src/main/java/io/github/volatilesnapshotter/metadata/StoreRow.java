package io.github.volatilesnapshotter.metadata;

import java.util.UUID;

/**
 * What a database says of itself, in the one row of table {@code store}.
 *
 * @param idsReservedThrough no id up to this one is given again
 * @param identity random, of the records and all copies of them: which {@link TransactionNote} is theirs
 * @param lastTransaction number of the newest transaction in them, unless a record has a higher one
 * @param isRestored whether an operator has put it in place, and no daemon has opened it since
 */
record StoreRow(long idsReservedThrough, String identity, long lastTransaction, boolean isRestored) {
    /** So that records which were restored count as something that can be lost. */
    private static final long FIRST_TRANSACTION = 1;

    /** Of records that an operator puts in place: what comes after them is not what came after them before. */
    static StoreRow ofRestored(long idsReservedThrough) {
        return new StoreRow(idsReservedThrough, UUID.randomUUID().toString(), FIRST_TRANSACTION, true);
    }
}
