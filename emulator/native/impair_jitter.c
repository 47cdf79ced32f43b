/* SPDX-License-Identifier: MIT */
/*
 * By how much delays are off: quantile functions in closed form.
 *
 * Those of normal, pareto and paretonormal are what the tables of tc-netem are made from (NIST
 * Net's), with its largest value: 4. Each is then shifted and scaled so that its mean is 0 and its
 * standard deviation 1, which netem's pareto and paretonormal are not.
 */
#include <math.h>

#include "impair_parts.h"

/* Where tc-netem's tables end. */
#define FARTHEST 4.0

/*
 * X = (1 - u)^(-1/3) is Pareto's distribution with the shape 3 and the least value 1; netem has
 * 4/3 (X - 1.5), at most 4: X at most 4.5. Of min(X, c) the mean is 3/2 - 1/(2 c^2), the mean of
 * squares 3 - 2/c.
 */
#define PARETO_MOST  4.5
#define PARETO_MEAN  1.4753086419753085
#define PARETO_SD    0.6156459749470682
#define PARETO_SHIFT 1.5
#define PARETO_SCALE (4.0 / 3.0)

/* (normal + 3 pareto) / 4, both of the same u, as numerical integration has them. */
#define PARETONORMAL_MEAN (-0.0246913580246913)
#define PARETONORMAL_SD   0.8349408245289426

/* The farthest that a table can take a delay. */
#define MOST_NS 0x1p61

static double polynomial(const double *coefficients, int degree, double x) {
    double value = coefficients[degree];

    for (int i = degree - 1; i >= 0; i--)
        value = value * x + coefficients[i];
    return value;
}

/* Wichura's algorithm AS 241 (PPND16), without its branch for tails that are cut off here. */
static double normal(double u) {
    static const double near_above[] = {3.3871328727963666080e0, 1.3314166789178437745e2,
                                        1.9715909503065514427e3, 1.3731693765509461125e4,
                                        4.5921953931549871457e4, 6.7265770927008700853e4,
                                        3.3430575583588128105e4, 2.5090809287301226727e3};
    static const double near_below[] = {1.0,
                                        4.2313330701600911252e1,
                                        6.8718700749205790830e2,
                                        5.3941960214247511077e3,
                                        2.1213794301586595867e4,
                                        3.9307895800092710610e4,
                                        2.8729085735721942674e4,
                                        5.2264952788528545610e3};
    static const double far_above[] = {1.42343711074968357734e0,  4.63033784615654529590e0,
                                       5.76949722146069140550e0,  3.64784832476320460504e0,
                                       1.27045825245236838258e0,  2.41780725177450611770e-1,
                                       2.27238449892691845833e-2, 7.74545014278341407640e-4};
    static const double far_below[] = {1.0,
                                       2.05319162663775882187e0,
                                       1.67638483018380384940e0,
                                       6.89767334985100004550e-1,
                                       1.48103976427480074590e-1,
                                       1.51986665636164571966e-2,
                                       5.47593808499534494600e-4,
                                       1.05075007164441684324e-9};
    double q = u - 0.5;
    double r, value;

    if (fabs(q) <= 0.425) {
        r = 0.180625 - q * q;
        return q * polynomial(near_above, 7, r) / polynomial(near_below, 7, r);
    }
    r = sqrt(-log(q < 0 ? u : 1 - u)) - 1.6;
    value = polynomial(far_above, 7, r) / polynomial(far_below, 7, r);
    value = value < FARTHEST ? value : FARTHEST;
    return q < 0 ? -value : value;
}

static double pareto(double u) {
    double value = 1 / cbrt(1 - u);

    return value < PARETO_MOST ? value : PARETO_MOST;
}

static double tabled(const double *table, uint32_t count, double u) {
    double place = u * (count - 1);
    uint32_t below = (uint32_t)place;

    if (below + 1 >= count)
        return table[count - 1];
    return table[below] + (place - below) * (table[below + 1] - table[below]);
}

int64_t impair_jitter(const struct impair_stream *stream, double u) {
    double units = 0;
    double ns;

    switch (stream->spec.distribution) {
    case IMPAIR_UNIFORM:
        units = 2 * u - 1;
        break;
    case IMPAIR_NORMAL:
        units = normal(u);
        break;
    case IMPAIR_PARETO:
        units = (pareto(u) - PARETO_MEAN) / PARETO_SD;
        break;
    case IMPAIR_PARETONORMAL:
        units = (normal(u) + 3 * PARETO_SCALE * (pareto(u) - PARETO_SHIFT)) / 4;
        units = (units - PARETONORMAL_MEAN) / PARETONORMAL_SD;
        break;
    case IMPAIR_TABLE:
        units = tabled(stream->table, stream->table_count, u);
        break;
    }
    ns = (double)stream->spec.jitter_ns * units;
    if (ns > MOST_NS)
        return (int64_t)MOST_NS;
    if (ns < -MOST_NS)
        return -(int64_t)MOST_NS;
    return (int64_t)floor(ns + 0.5);
}
