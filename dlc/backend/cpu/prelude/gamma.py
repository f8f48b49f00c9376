"""Prelude: logarithm of the gamma function and its derivative; f32 is rounded from f64.

Kernel text like exp_log_f64.py, whose functions it calls.
"""
# mypy: disable-error-code="name-defined"
# ruff: noqa: F821


def lgamma_series_f64(u: f64) -> f64:
    """ln gamma(2 + u) / u for |u| <= 1/2."""
    p = fma(f64(6.379047507619774e-08), u, f64(-1.3412819758517287e-07))
    p = fma(p, u, f64(2.0304806751615227e-07))
    p = fma(p, u, f64(-4.303558760359961e-07))
    p = fma(p, u, f64(9.578663334114758e-07))
    p = fma(p, u, f64(-2.0449201467015115e-06))
    p = fma(p, u, f64(4.374374916915131e-06))
    p = fma(p, u, f64(-9.438458716242811e-06))
    p = fma(p, u, f64(2.050726741605779e-05))
    p = fma(p, u, f64(-4.4926351103833334e-05))
    p = fma(p, u, f64(9.945750909889392e-05))
    p = fma(p, u, f64(-0.00022315475074520367))
    p = fma(p, u, f64(0.0005096695248853096))
    p = fma(p, u, f64(-0.0011927539120010226))
    p = fma(p, u, f64(0.002890510330738737))
    p = fma(p, u, f64(-0.0073855510286681535))
    p = fma(p, u, f64(0.02058080842778457))
    p = fma(p, u, f64(-0.06735230105319814))
    p = fma(p, u, f64(0.3224670334241132))
    return fma(p, u, f64(0.42278433509846713))


def stirling_series_f64(z: f64) -> f64:
    """a times what Stirling leaves of ln gamma(a), z = 1 / a**2, a >= 8.5."""
    p = fma(f64(-0.0016796510732570889), z, f64(0.0008381814236805014))
    p = fma(p, z, f64(-0.0005952129166201281))
    p = fma(p, z, f64(0.0007936507127029832))
    p = fma(p, z, f64(-0.00277777777768216))
    return fma(p, z, f64(0.08333333333333331))


def digamma_series_f64(u: f64) -> f64:
    """digamma(1.5 + u) / (1.5 + u - root) for |u| <= 1/2."""
    p = fma(f64(0.00011881232908510335), u, f64(-0.0001782188548855923))
    p = fma(p, u, f64(9.653646261410062e-05))
    p = fma(p, u, f64(-0.00014480643368061614))
    p = fma(p, u, f64(0.00032395945401345196))
    p = fma(p, u, f64(-0.00048595039220036254))
    p = fma(p, u, f64(0.0006909255761282986))
    p = fma(p, u, f64(-0.0010364584817312839))
    p = fma(p, u, f64(0.0015633696313653504))
    p = fma(p, u, f64(-0.0023454947397380833))
    p = fma(p, u, f64(0.003518106563802472))
    p = fma(p, u, f64(-0.005279937255532708))
    p = fma(p, u, f64(0.007927021796868154))
    p = fma(p, u, f64(-0.011908220105959716))
    p = fma(p, u, f64(0.017907248317313294))
    p = fma(p, u, f64(-0.026975796659787055))
    p = fma(p, u, f64(0.040760833940846085))
    p = fma(p, u, f64(-0.06192213327548831))
    p = fma(p, u, f64(0.09498872445289039))
    p = fma(p, u, f64(-0.14840492305388092))
    p = fma(p, u, f64(0.24054248424078697))
    p = fma(p, u, f64(-0.4236274212814606))
    return fma(p, u, f64(0.9510558760318328))


def digamma_tail_f64(z: f64) -> f64:
    """a**2 (ln a - 1 / (2 a) - digamma(a)) for z = 1 / a**2, a >= 8."""
    p = fma(f64(0.06362150587527063), z, f64(-0.020697987372315912))
    p = fma(p, z, f64(0.007571689620282833))
    p = fma(p, z, f64(-0.00416664482304969))
    p = fma(p, z, f64(0.0039682539119537084))
    p = fma(p, z, f64(-0.008333333333278636))
    return fma(p, z, f64(0.08333333333333333))


def lgamma_positive_f64(a: f64) -> f64:
    """ln gamma(a) for a >= 0: steps to 1.5 .. 2.5 and a polynomial; from 8.5 on Stirling."""
    middle = a < f64(8.5)
    u = select(a < f64(1.5), a - f64(1.0), a - f64(2.0))
    u = select(a < f64(0.5), a, u)
    p = f64(1.0)
    deeper = middle & (a > f64(2.5))
    u = select(deeper, a - f64(3.0), u)
    p = p * select(deeper, a - f64(1.0), f64(1.0))
    deeper = middle & (a > f64(3.5))
    u = select(deeper, a - f64(4.0), u)
    p = p * select(deeper, a - f64(2.0), f64(1.0))
    deeper = middle & (a > f64(4.5))
    u = select(deeper, a - f64(5.0), u)
    p = p * select(deeper, a - f64(3.0), f64(1.0))
    deeper = middle & (a > f64(5.5))
    u = select(deeper, a - f64(6.0), u)
    p = p * select(deeper, a - f64(4.0), f64(1.0))
    deeper = middle & (a > f64(6.5))
    u = select(deeper, a - f64(7.0), u)
    p = p * select(deeper, a - f64(5.0), f64(1.0))
    deeper = middle & (a > f64(7.5))
    u = select(deeper, a - f64(8.0), u)
    p = p * select(deeper, a - f64(6.0), f64(1.0))
    p = select(a < f64(1.5), a, p)
    p = select(a < f64(0.5), a * (a + f64(1.0)), p)
    logarithm = log_f64(select(middle, p, a))
    u = select(middle, u, f64(0.0))
    near = u * lgamma_series_f64(u)
    near = select(a < f64(1.5), near - logarithm, near + logarithm)
    inverse = f64(1.0) / a
    far = fma(inverse, stirling_series_f64(inverse * inverse), f64(0.4189385332046727))
    far = fma(a - f64(0.5), logarithm - f64(1.0), far)
    y = select(middle, near, far)
    return select(a < bitcast_f64(i64(0x7FF0000000000000)), y, a)


def lgamma_f64(x: f64) -> f64:
    """ln |gamma(x)|; below 0 by reflection: -ln(|x sin(pi x)| / pi) - lgamma(-x)."""
    a = abs(x)
    y = lgamma_positive_f64(a)
    sine = abs(a * sinpi_f64(a)) * f64(0.3183098861837907)
    y = select(x < f64(0.0), -log_f64(sine) - y, y)
    return select(a < bitcast_f64(i64(0x7FF0000000000000)), y, a)


def digamma_positive_f64(a: f64) -> f64:
    """digamma(a), a >= 0: steps to 1 .. 2, there (a - root) times a polynomial; series from 8."""
    middle = a < f64(8.0)
    top = select(a < f64(1.0), f64(-1.0), f64(0.0))
    below = select(a < f64(1.0), a, f64(1.0))
    y = select(a < f64(1.0), a + f64(1.0), a)
    deeper = middle & (a > f64(2.0))
    top = select(deeper, fma(top, a - f64(1.0), below), top)
    below = below * select(deeper, a - f64(1.0), f64(1.0))
    y = select(deeper, a - f64(1.0), y)
    deeper = middle & (a > f64(3.0))
    top = select(deeper, fma(top, a - f64(2.0), below), top)
    below = below * select(deeper, a - f64(2.0), f64(1.0))
    y = select(deeper, a - f64(2.0), y)
    deeper = middle & (a > f64(4.0))
    top = select(deeper, fma(top, a - f64(3.0), below), top)
    below = below * select(deeper, a - f64(3.0), f64(1.0))
    y = select(deeper, a - f64(3.0), y)
    deeper = middle & (a > f64(5.0))
    top = select(deeper, fma(top, a - f64(4.0), below), top)
    below = below * select(deeper, a - f64(4.0), f64(1.0))
    y = select(deeper, a - f64(4.0), y)
    deeper = middle & (a > f64(6.0))
    top = select(deeper, fma(top, a - f64(5.0), below), top)
    below = below * select(deeper, a - f64(5.0), f64(1.0))
    y = select(deeper, a - f64(5.0), y)
    deeper = middle & (a > f64(7.0))
    top = select(deeper, fma(top, a - f64(6.0), below), top)
    below = below * select(deeper, a - f64(6.0), f64(1.0))
    y = select(deeper, a - f64(6.0), y)
    y = select(middle, y, f64(1.5))
    near = ((y - f64(1.4616321449683622)) - f64(9.549995429965697e-17)) * (
        digamma_series_f64(y - f64(1.5)))
    inverse = f64(1.0) / a
    z = inverse * inverse
    far = log_f64(a) - fma(z, digamma_tail_f64(z), f64(0.5) * inverse)
    return select(middle, near + top / below, far)


def digamma_f64(x: f64) -> f64:
    """The derivative of ln gamma(x); below 0 by reflection. NaN at negative integers."""
    negative = x < f64(0.0)
    y = digamma_positive_f64(select(negative, f64(1.0) - x, x))
    cotangent = cospi_f64(x) / sinpi_f64(x)
    y = select(negative, fma(f64(-3.141592653589793), cotangent, y), y)
    return select(negative & (rint(x) == x), bitcast_f64(i64(0x7FF8000000000000)), y)


def lgamma_f32(x: f32) -> f32:
    """ln |gamma(x)|."""
    return f32(lgamma_f64(f64(x)))


def digamma_f32(x: f32) -> f32:
    """The derivative of ln gamma(x)."""
    return f32(digamma_f64(f64(x)))
