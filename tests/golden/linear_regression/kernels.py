def fused_constant(lr, chunk):
    """copy"""
    lr[0] = f32(0.1)


def fused_matmul(x, line_weight, line_bias, y, d_predicted, chunk):
    """matmul add sub mul
    models/linear_regression.py:11  models/linear_regression.py:17"""
    line_bias2 = line_bias[0]
    for i in range(100):
        matmul = f32(0.0)
        for k0 in range(8):
            matmul = radd(matmul, x[i * 8 + k0] * line_weight[k0])
        sub = matmul + line_bias2 - y[i]
        mul = sub * f32(0.01)
        y[i] = sub
        d_predicted[i] = mul + mul


def fused_sum_div_isfinite(sub, line_bias, d_predicted, step, loss, fault, chunk):
    """mul sum div isfinite where eq sub add
    models/linear_regression.py:17  models/linear_regression.py:11
    models/linear_regression.py:14"""
    sum = f64(0.0)
    d_line_bias = f32(0.0)
    for r in range(100):
        root = f64(sub[r])
        sum = radd(sum, root * root)
    for r2 in range(100):
        d_line_bias = radd(d_line_bias, d_predicted[r2])
    loss2 = f32(sum) / f32(100.0)
    fault2 = select(abs(loss2) < f32(inf), i32(0), i32(-1))
    ok = fault2 == i32(0)
    line_bias2 = line_bias[0]
    line_bias_new = select(ok, line_bias2 - d_line_bias * f32(0.1), line_bias2)
    step2 = step[0]
    loss[0] = loss2
    fault[0] = fault2
    line_bias[0] = line_bias_new
    step[0] = select(ok, i32(step2 + i32(1)), step2)


def fused_sum_div_isfinite_2(sub, mae, chunk):
    """abs sum div
    models/linear_regression.py:17"""
    sum = f32(0.0)
    for r in range(100):
        sum = radd(sum, abs(sub[r]))
    mae[0] = sum / f32(100.0)


def fused_matmul2(fault, line_weight, x, d_predicted, chunk):
    """eq matmul mul sub where
    models/linear_regression.py:17  models/linear_regression.py:11
    models/linear_regression.py:14"""
    ok = fault[0] == i32(0)
    for i in range(8):
        line_weight2 = line_weight[i]
        d_line_weight = f32(0.0)
        for k0 in range(100):
            d_line_weight = radd(d_line_weight, x[k0 * 8 + i] * d_predicted[k0])
        line_weight[i] = select(ok, line_weight2 - d_line_weight * f32(0.1), line_weight2)


def fused_constant_2(fault, chunk):
    """copy"""
    fault[0] = i32(0)


def fused_matmul_2(x, line_weight, line_bias, y, predicted, chunk):
    """matmul add sub
    models/linear_regression.py:11  models/linear_regression.py:17"""
    line_bias2 = line_bias[0]
    for i in range(100):
        matmul = f32(0.0)
        for k0 in range(8):
            matmul = radd(matmul, x[i * 8 + k0] * line_weight[k0])
        predicted2 = matmul + line_bias2
        predicted[i] = predicted2
        y[i] = predicted2 - y[i]


def fused_sum_div(sub, loss, chunk):
    """mul sum div
    models/linear_regression.py:17"""
    sum = f64(0.0)
    for r in range(100):
        root = f64(sub[r])
        sum = radd(sum, root * root)
    loss[0] = f32(sum) / f32(100.0)
