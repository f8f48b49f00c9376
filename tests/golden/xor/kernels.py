def fused_matmul_tanh(x, dense1_weight, dense1_bias, tanh1, chunk):
    """matmul add tanh
    models/xor.py:11"""
    for i in range(4):
        for r in range(8):
            matmul = f32(0.0)
            for k0 in range(2):
                matmul = radd(matmul, x[i * 2 + k0] * dense1_weight[k0 * 8 + r])
            tanh1[i * 8 + r] = tanh_f32(matmul + dense1_bias[r])


def fused_matmul_logaddexp_isfinite(tanh1, dense2_weight, dense2_bias, y, out, out2, d_logits,
                                    chunk):
    """matmul add logaddexp mul gt eq isfinite ne or_ where sigmoid
    models/xor.py:11  models/xor.py:17  models/xor.py:18"""
    dense2_bias2 = dense2_bias[0]
    for i in range(4):
        matmul = f32(0.0)
        for k0 in range(8):
            matmul = radd(matmul, tanh1[i * 8 + k0] * dense2_weight[k0])
        logits = matmul + dense2_bias2
        y2 = y[i]
        where = select((abs(logits) < f32(inf)) | (logits != f32(0.0)), logits, f32(0.0))
        y[i] = softplus_f32(logits)
        out[i] = logits * y2
        out2[i] = u8((logits > f32(0.0)) == (y2 > f32(0.5)))
        d_logits[i] = y2 * f32(-0.25) + sigmoid_f32(where) * f32(0.25)


def fused_sum_isfinite_sqrt(logaddexp, mul, adam_m_dense2_bias, d_logits, adam_v_dense2_bias,
                            dense2_bias, step, loss, fault, step_new, chunk):
    """sub sum mul isfinite where eq add cast expm1 div neg sqrt rsqrt
    models/xor.py:17  models/xor.py:11  models/xor.py:14"""
    sum = f32(0.0)
    d_dense2_bias = f32(0.0)
    for r in range(4):
        sum = radd(sum, logaddexp[r] - mul[r])
    for r2 in range(4):
        d_dense2_bias = radd(d_dense2_bias, d_logits[r2])
    loss2 = sum * f32(0.25)
    fault2 = select(abs(loss2) < f32(inf), i32(0), i32(-1))
    ok = fault2 == i32(0)
    adam_m_dense2_bias2 = adam_m_dense2_bias[0]
    add = adam_m_dense2_bias2 * f32(0.9) + d_dense2_bias * f32(0.1)
    adam_v_dense2_bias2 = adam_v_dense2_bias[0]
    add2 = adam_v_dense2_bias2 * f32(0.999) + d_dense2_bias * d_dense2_bias * f32(0.001)
    dense2_bias2 = dense2_bias[0]
    step2 = step[0]
    add3 = f32(step2) + f32(1.0)
    neg = -(f32(0.05) / expm1_f32(add3 * f32(-0.105360515)))
    mul11 = sqrt(add2) * rsqrt_f32(-expm1_f32(add3 * f32(-0.0010005003)))
    dense2_bias_new = select(ok, dense2_bias2 - neg * add / (mul11 + f32(1e-08)), dense2_bias2)
    loss[0] = loss2
    fault[0] = fault2
    adam_m_dense2_bias[0] = select(ok, add, adam_m_dense2_bias2)
    adam_v_dense2_bias[0] = select(ok, add2, adam_v_dense2_bias2)
    dense2_bias[0] = dense2_bias_new
    step_new[0] = select(ok, i32(step2 + i32(1)), step2)


def fused_sum_isfinite_sqrt_2(lr, chunk):
    """copy"""
    lr[0] = f32(0.05)


def fused_sum(eq, accuracy, chunk):
    """cast sum mul
    models/xor.py:18"""
    sum = f32(0.0)
    for r in range(4):
        sum = radd(sum, f32(eq[r] != u8(0)))
    accuracy[0] = sum * f32(0.25)


def fused_matmul(d_logits, dense2_weight, tanh1, d_dense1, chunk):
    """matmul mul sub
    models/xor.py:11"""
    for i in range(4):
        d_logits2 = d_logits[i]
        for r in range(8):
            d_tanh1 = f32(0.0)
            dense2_weight2 = dense2_weight[r]
            for k0 in range(1):
                d_tanh1 = radd(d_tanh1, d_logits2 * dense2_weight2)
            tanh1_2 = tanh1[i * 8 + r]
            d_dense1[i * 8 + r] = d_tanh1 * (f32(1.0) - tanh1_2 * tanh1_2)


def fused_matmul_sqrt_div2(fault, adam_m_dense2_weight, tanh1, d_logits, adam_v_dense2_weight,
                           dense2_weight, step, chunk):
    """eq mul matmul add where cast expm1 div neg sqrt rsqrt sub
    models/xor.py:17  models/xor.py:11  models/xor.py:14"""
    ok = fault[0] == i32(0)
    add3 = f32(step[0]) + f32(1.0)
    neg = -(f32(0.05) / expm1_f32(add3 * f32(-0.105360515)))
    rsqrt = rsqrt_f32(-expm1_f32(add3 * f32(-0.0010005003)))
    for i in range(8):
        adam_m_dense2_weight2 = adam_m_dense2_weight[i]
        d_dense2_weight = f32(0.0)
        mul = adam_m_dense2_weight2 * f32(0.9)
        for k0 in range(4):
            d_dense2_weight = radd(d_dense2_weight, tanh1[k0 * 8 + i] * d_logits[k0])
        add = mul + d_dense2_weight * f32(0.1)
        adam_v_dense2_weight2 = adam_v_dense2_weight[i]
        add2 = adam_v_dense2_weight2 * f32(0.999) + d_dense2_weight * d_dense2_weight * f32(0.001)
        dense2_weight2 = dense2_weight[i]
        sub = dense2_weight2 - neg * add / (sqrt(add2) * rsqrt + f32(1e-08))
        adam_m_dense2_weight[i] = select(ok, add, adam_m_dense2_weight2)
        adam_v_dense2_weight[i] = select(ok, add2, adam_v_dense2_weight2)
        dense2_weight[i] = select(ok, sub, dense2_weight2)


def fused_matmul_sqrt_div(fault, adam_m_dense1_weight, x, d_dense1, adam_v_dense1_weight,
                          dense1_weight, step, chunk):
    """eq mul matmul add where cast expm1 div neg sqrt rsqrt sub
    models/xor.py:17  models/xor.py:11  models/xor.py:14"""
    ok = fault[0] == i32(0)
    add3 = f32(step[0]) + f32(1.0)
    neg = -(f32(0.05) / expm1_f32(add3 * f32(-0.105360515)))
    rsqrt = rsqrt_f32(-expm1_f32(add3 * f32(-0.0010005003)))
    for i in range(2):
        for r in range(8):
            adam_m_dense1_weight2 = adam_m_dense1_weight[i * 8 + r]
            d_dense1_weight = f32(0.0)
            mul = adam_m_dense1_weight2 * f32(0.9)
            for k0 in range(4):
                d_dense1_weight = radd(d_dense1_weight, x[k0 * 2 + i] * d_dense1[k0 * 8 + r])
            add = mul + d_dense1_weight * f32(0.1)
            adam_v_dense1_weight2 = adam_v_dense1_weight[i * 8 + r]
            add2 = adam_v_dense1_weight2 * f32(0.999) + d_dense1_weight * d_dense1_weight * f32(0.001)
            dense1_weight2 = dense1_weight[i * 8 + r]
            sub = dense1_weight2 - neg * add / (sqrt(add2) * rsqrt + f32(1e-08))
            adam_m_dense1_weight[i * 8 + r] = select(ok, add, adam_m_dense1_weight2)
            adam_v_dense1_weight[i * 8 + r] = select(ok, add2, adam_v_dense1_weight2)
            dense1_weight[i * 8 + r] = select(ok, sub, dense1_weight2)


def fused_sum_sqrt_div(fault, adam_m_dense1_bias, d_dense1, adam_v_dense1_bias, dense1_bias, step,
                       chunk):
    """eq mul sum add where cast expm1 div neg sqrt rsqrt sub
    models/xor.py:17  models/xor.py:11  models/xor.py:14"""
    ok = fault[0] == i32(0)
    add3 = f32(step[0]) + f32(1.0)
    neg = -(f32(0.05) / expm1_f32(add3 * f32(-0.105360515)))
    rsqrt = rsqrt_f32(-expm1_f32(add3 * f32(-0.0010005003)))
    for i in range(8):
        adam_m_dense1_bias2 = adam_m_dense1_bias[i]
        d_dense1_bias = f32(0.0)
        mul = adam_m_dense1_bias2 * f32(0.9)
        for r0 in range(4):
            d_dense1_bias = radd(d_dense1_bias, d_dense1[r0 * 8 + i])
        add = mul + d_dense1_bias * f32(0.1)
        adam_v_dense1_bias2 = adam_v_dense1_bias[i]
        add2 = adam_v_dense1_bias2 * f32(0.999) + d_dense1_bias * d_dense1_bias * f32(0.001)
        dense1_bias2 = dense1_bias[i]
        sub = dense1_bias2 - neg * add / (sqrt(add2) * rsqrt + f32(1e-08))
        adam_m_dense1_bias[i] = select(ok, add, adam_m_dense1_bias2)
        adam_v_dense1_bias[i] = select(ok, add2, adam_v_dense1_bias2)
        dense1_bias[i] = select(ok, sub, dense1_bias2)


def fused_copy(step_new, out, chunk):
    """copy
    models/xor.py:17  models/xor.py:14  models/xor.py:11"""
    out[0] = step_new[0]


def fused_constant(fault, chunk):
    """copy"""
    fault[0] = i32(0)


def fused_matmul_logaddexp(tanh1, dense2_weight, dense2_bias, y, logits, out, out2, chunk):
    """matmul add logaddexp mul gt eq
    models/xor.py:11  models/xor.py:17  models/xor.py:18"""
    dense2_bias2 = dense2_bias[0]
    for i in range(4):
        matmul = f32(0.0)
        for k0 in range(8):
            matmul = radd(matmul, tanh1[i * 8 + k0] * dense2_weight[k0])
        logits2 = matmul + dense2_bias2
        y2 = y[i]
        logits[i] = logits2
        y[i] = softplus_f32(logits2)
        out[i] = logits2 * y2
        out2[i] = u8((logits2 > f32(0.0)) == (y2 > f32(0.5)))


def fused_sum_2(logaddexp, mul, loss, chunk):
    """sub sum mul
    models/xor.py:17"""
    sum = f32(0.0)
    for r in range(4):
        sum = radd(sum, logaddexp[r] - mul[r])
    loss[0] = sum * f32(0.25)
