package io.github.volatilesnapshotter.metrics;

/** Lets tests of other rooms read what Prometheus would. */
public final class Scrapes {
    private Scrapes() {}

    public static String of(Metrics metrics) {
        return metrics.prometheusText();
    }
}
