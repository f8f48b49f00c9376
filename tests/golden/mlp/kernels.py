def pack_transpose_f32_14(a, packed, m, k, step, leap, first, panels, each, groups, chunk):
    """A as panels of 14 rows, k by k, for the gemm tiles

    m rows, k columns; k side by side in memory, step elements from one row to the next.
    leap: elements between matrices; each: panels a chunk; groups: chunks a matrix."""
    b = idiv(chunk, groups)
    g = imod(chunk, groups)
    for p in range(g * each, min(g * each + each, panels)):
        rows = min(14, m - p * 14)
        transpose_f32(at(packed, (b * panels + p) * k * 14), 14, at(a, first + b * leap + p * 14 * step), step, rows, k)


def fused_matmul(dense1_weight, dense1_bias, out, relu1, packed, chunk):
    """matmul add le where
    models/mlp.py:12"""
    g = idiv(chunk, 8)
    box = imod(chunk, 8)
    n0 = box * 64
    bp = local_f32(65536)
    acc = local_f32(896)
    copy_f32(bp, 64, at(dense1_weight, n0), 512, 784, 64)
    for p in range(g * 5, min(g * 5 + 5, 5)):
        rows = min(14, 64 - p * 14)
        for s in range(0, 64, 32):
            for k in range(0, 784, 128):
                gemm_f32_14x32(at(packed, p * 10976 + k * 14), at(bp, k * 64 + s), 64, min(128, 784 - k), at(acc, s), 64, rows, k)
        for i in range(rows):
            row = p * 14 + i
            for n in range(64):
                dense1 = acc[i * 64 + n] + dense1_bias[n + n0]
                le = dense1 <= f32(0.0)
                out[row * 512 + n + n0] = u8(le)
                relu1[row * 512 + n + n0] = select(le, f32(0.0), dense1)


def fused_matmul2(dense2_weight, dense2_bias, out, relu2, packed, chunk):
    """matmul add le where
    models/mlp.py:12"""
    g = idiv(chunk, 8)
    box = imod(chunk, 8)
    n0 = box * 64
    bp = local_f32(65536)
    acc = local_f32(896)
    copy_f32(bp, 64, at(dense2_weight, n0), 512, 512, 64)
    for p in range(g * 5, min(g * 5 + 5, 5)):
        rows = min(14, 64 - p * 14)
        for s in range(0, 64, 32):
            for k in range(0, 512, 128):
                gemm_f32_14x32(at(packed, p * 7168 + k * 14), at(bp, k * 64 + s), 64, min(128, 512 - k), at(acc, s), 64, rows, k)
        for i in range(rows):
            row = p * 14 + i
            for n in range(64):
                dense2 = acc[i * 64 + n] + dense2_bias[n + n0]
                le = dense2 <= f32(0.0)
                out[row * 512 + n + n0] = u8(le)
                relu2[row * 512 + n + n0] = select(le, f32(0.0), dense2)


def fused_matmul3(dense3_weight, dense3_bias, logits, packed, chunk):
    """matmul add
    models/mlp.py:12"""
    bp = local_f32(65536)
    acc = local_f32(448)
    copy_f32(bp, 32, dense3_weight, 10, 512, 10)
    for p in range(chunk * 2, min(chunk * 2 + 2, 5)):
        rows = min(14, 64 - p * 14)
        for k in range(0, 512, 128):
            gemm_f32_14x32(at(packed, p * 7168 + k * 14), at(bp, k * 32), 32, min(128, 512 - k), acc, 32, rows, k)
        for i in range(rows):
            row = p * 14 + i
            for n in range(10):
                logits[row * 10 + n] = acc[i * 32 + n] + dense3_bias[n]


def fused_logsumexp_sum_div(logits, label, out, d_logits, chunk):
    """max isfinite where sub exp sum log add maximum minimum eq mul div
    models/mlp.py:18"""
    for i in range(64):
        minimum2 = min(max(label[i], i32(0)), i32(9))
        sum = f32(0.0)
        max2 = f32(-inf)
        for r0_2 in range(10):
            max2 = rmax(max2, logits[i * 10 + r0_2])
        where2 = select(abs(max2) < f32(inf), max2, f32(0.0))
        for r0 in range(10):
            sum = radd(sum, exp_f32(logits[i * 10 + r0] - where2))
        log_total = log_f32(sum) + where2
        for r in range(10):
            where = select(minimum2 == i32(r), f32(-0.0140625), f32(0.0))
            mul = exp_f32(logits[i * 10 + r] - log_total) * f32(0.015625)
            d_logits[i * 10 + r] = where + f32(-0.00015625) + mul
        sum2 = f32(0.0)
        for r0_3 in range(10):
            where3 = select(minimum2 == i32(r0_3), logits[i * 10 + r0_3], f32(0.0))
            sum2 = radd(sum2, where3)
        sum3 = f32(0.0)
        mul2 = sum2 * f32(0.9)
        for r0_4 in range(10):
            sum3 = radd(sum3, logits[i * 10 + r0_4])
        out[i] = log_total - (mul2 + sum3 / f32(10.0) * f32(0.1))


def fused_logsumexp_sum_div_2(logits, label, out, chunk):
    """argmax eq cast
    models/mlp.py:19"""
    for i in range(64):
        argmax = f32(-inf)
        argmax_s1 = i32(2147483647)
        for r0 in range(10):
            logits2 = logits[i * 10 + r0]
            wins = (logits2 > argmax) | ((logits2 != logits2) & (argmax == argmax)) | (((logits2 == argmax) | ((logits2 != logits2) & (argmax != argmax))) & (i32(r0) < argmax_s1))
            argmax = select(wins, logits2, argmax)
            argmax_s1 = select(wins, i32(r0), argmax_s1)
        out[i] = f32(argmax_s1 == label[i])


def fused_sum(cast, accuracy, chunk):
    """sum mul
    models/mlp.py:19"""
    sum = f32(0.0)
    for r in range(64):
        sum = radd(sum, cast[r])
    accuracy[0] = sum * f32(0.015625)


def fused_sum_max_isfinite(sub, label, step, loss, fault, step_new, chunk):
    """sum mul lt ge or_ max isfinite where eq add
    models/mlp.py:18"""
    sum = f32(0.0)
    max2 = False
    for r in range(64):
        sum = radd(sum, sub[r])
    for r2 in range(64):
        label2 = label[r2]
        max2 = max2 | ((label2 < i32(0)) | (label2 >= i32(10)))
    loss2 = sum * f32(0.015625)
    fault2 = select(max2, i32(1), select(abs(loss2) < f32(inf), i32(0), i32(-1)))
    step2 = step[0]
    step_new2 = select(fault2 == i32(0), i32(step2 + i32(1)), step2)
    loss[0] = loss2
    fault[0] = fault2
    step_new[0] = step_new2


def fused_matmul4(le, dense3_weight, d_dense2, packed, chunk):
    """matmul where
    models/mlp.py:12"""
    g = idiv(chunk, 8)
    box = imod(chunk, 8)
    n0 = box * 64
    bp = local_f32(65536)
    acc = local_f32(896)
    transpose_f32(bp, 64, at(dense3_weight, n0 * 10), 10, 64, 10)
    for p in range(g * 5, min(g * 5 + 5, 5)):
        rows = min(14, 64 - p * 14)
        for s in range(0, 64, 32):
            gemm_f32_14x32(at(packed, p * 140), at(bp, s), 64, 10, at(acc, s), 64, rows, 0)
        for i in range(rows):
            row = p * 14 + i
            for n in range(64):
                d_dense2[row * 512 + n + n0] = select(le[row * 512 + n + n0] != u8(0), f32(0.0), acc[i * 64 + n])


def fused_mul(step, steps_per_epoch, lr, chunk):
    """cast mul div minimum cos add
    models/mlp.py:15"""
    div = f32(step[0]) / (f32(steps_per_epoch[0]) * f32(30.0))
    add = cos_f32(minimum(div, f32(1.0)) * f32(3.1415927)) + f32(1.0)
    lr[0] = add * f32(0.0005)


def pack_copy_f32_14(a, packed, m, k, step, leap, first, panels, each, groups, chunk):
    """A as panels of 14 rows, k by k, for the gemm tiles

    m rows, k columns; rows side by side in memory, step elements from one k to the next.
    leap: elements between matrices; each: panels a chunk; groups: chunks a matrix."""
    b = idiv(chunk, groups)
    g = imod(chunk, groups)
    for p in range(g * each, min(g * each + each, panels)):
        rows = min(14, m - p * 14)
        copy_f32(at(packed, (b * panels + p) * k * 14), 14, at(a, first + b * leap + p * 14), step, k, rows)


def fused_matmul_sqrt_div3(fault, adam_m_dense3_weight, d_logits, adam_v_dense3_weight,
                           dense3_weight, lr, step, packed, chunk):
    """eq mul matmul add where cast expm1 div neg sqrt rsqrt sub
    models/mlp.py:18  models/mlp.py:12  models/mlp.py:15"""
    bp = local_f32(65536)
    acc = local_f32(448)
    copy_f32(bp, 32, d_logits, 10, 64, 10)
    ok = fault[0] == i32(0)
    add3 = f32(step[0]) + f32(1.0)
    neg = -(lr[0] / expm1_f32(add3 * f32(-0.105360515)))
    rsqrt = rsqrt_f32(-expm1_f32(add3 * f32(-0.0010005003)))
    for p in range(chunk * 5, min(chunk * 5 + 5, 37)):
        rows = min(14, 512 - p * 14)
        gemm_f32_14x32(at(packed, p * 896), bp, 32, 64, acc, 32, rows, 0)
        for i in range(rows):
            row = p * 14 + i
            for n in range(10):
                adam_m_dense3_weight2 = adam_m_dense3_weight[row * 10 + n]
                d_dense3_weight = acc[i * 32 + n]
                add = adam_m_dense3_weight2 * f32(0.9) + d_dense3_weight * f32(0.1)
                adam_v_dense3_weight2 = adam_v_dense3_weight[row * 10 + n]
                add2 = adam_v_dense3_weight2 * f32(0.999) + d_dense3_weight * d_dense3_weight * f32(0.001)
                dense3_weight2 = dense3_weight[row * 10 + n]
                sub = dense3_weight2 - neg * add / (sqrt(add2) * rsqrt + f32(1e-08))
                adam_m_dense3_weight[row * 10 + n] = select(ok, add, adam_m_dense3_weight2)
                adam_v_dense3_weight[row * 10 + n] = select(ok, add2, adam_v_dense3_weight2)
                dense3_weight[row * 10 + n] = select(ok, sub, dense3_weight2)


def fused_matmul5(le, dense2_weight, d_dense1, packed, chunk):
    """matmul where
    models/mlp.py:12"""
    g = idiv(chunk, 8)
    box = imod(chunk, 8)
    n0 = box * 64
    bp = local_f32(65536)
    acc = local_f32(896)
    transpose_f32(bp, 64, at(dense2_weight, n0 * 512), 512, 64, 512)
    for p in range(g * 5, min(g * 5 + 5, 5)):
        rows = min(14, 64 - p * 14)
        for s in range(0, 64, 32):
            for k in range(0, 512, 128):
                gemm_f32_14x32(at(packed, p * 7168 + k * 14), at(bp, k * 64 + s), 64, min(128, 512 - k), at(acc, s), 64, rows, k)
        for i in range(rows):
            row = p * 14 + i
            for n in range(64):
                d_dense1[row * 512 + n + n0] = select(le[row * 512 + n + n0] != u8(0), f32(0.0), acc[i * 64 + n])


def fused_matmul_sqrt_div2(fault, adam_m_dense2_weight, d_dense2, adam_v_dense2_weight,
                           dense2_weight, lr, step, packed, chunk):
    """eq mul matmul add where cast expm1 div neg sqrt rsqrt sub
    models/mlp.py:18  models/mlp.py:12  models/mlp.py:15"""
    g = idiv(chunk, 8)
    box = imod(chunk, 8)
    n0 = box * 64
    bp = local_f32(65536)
    acc = local_f32(896)
    copy_f32(bp, 64, at(d_dense2, n0), 512, 64, 64)
    ok = fault[0] == i32(0)
    add3 = f32(step[0]) + f32(1.0)
    neg = -(lr[0] / expm1_f32(add3 * f32(-0.105360515)))
    rsqrt = rsqrt_f32(-expm1_f32(add3 * f32(-0.0010005003)))
    for p in range(g * 37, min(g * 37 + 37, 37)):
        rows = min(14, 512 - p * 14)
        for s in range(0, 64, 32):
            gemm_f32_14x32(at(packed, p * 896), at(bp, s), 64, 64, at(acc, s), 64, rows, 0)
        for i in range(rows):
            row = p * 14 + i
            for n in range(64):
                adam_m_dense2_weight2 = adam_m_dense2_weight[row * 512 + n + n0]
                d_dense2_weight = acc[i * 64 + n]
                add = adam_m_dense2_weight2 * f32(0.9) + d_dense2_weight * f32(0.1)
                adam_v_dense2_weight2 = adam_v_dense2_weight[row * 512 + n + n0]
                add2 = adam_v_dense2_weight2 * f32(0.999) + d_dense2_weight * d_dense2_weight * f32(0.001)
                dense2_weight2 = dense2_weight[row * 512 + n + n0]
                sub = dense2_weight2 - neg * add / (sqrt(add2) * rsqrt + f32(1e-08))
                adam_m_dense2_weight[row * 512 + n + n0] = select(ok, add, adam_m_dense2_weight2)
                adam_v_dense2_weight[row * 512 + n + n0] = select(ok, add2, adam_v_dense2_weight2)
                dense2_weight[row * 512 + n + n0] = select(ok, sub, dense2_weight2)


def fused_sum_sqrt_div(fault, adam_m_dense1_bias, d_dense1, adam_v_dense1_bias, dense1_bias, lr,
                       step, chunk):
    """eq mul sum add where cast expm1 div neg sqrt rsqrt sub
    models/mlp.py:18  models/mlp.py:12  models/mlp.py:15"""
    j0 = chunk * 128
    j1 = j0 + 128
    d_dense1_bias = local_f32(128)
    total = local_f64(128)
    for j in range(j0, j1):
        total[j - j0] = f64(0.0)
    for r in range(0, 64, 32):
        for j2 in range(j0, j1):
            d_dense1_bias[j2 - j0] = f32(0.0)
        for r2 in range(r, min(r + 32, 64)):
            for j3 in range(j0, j1):
                d_dense1_bias[j3 - j0] = radd(d_dense1_bias[j3 - j0], d_dense1[r2 * 512 + j3])
        for j4 in range(j0, j1):
            total[j4 - j0] = total[j4 - j0] + f64(d_dense1_bias[j4 - j0])
    ok = fault[0] == i32(0)
    add3 = f32(step[0]) + f32(1.0)
    neg = -(lr[0] / expm1_f32(add3 * f32(-0.105360515)))
    rsqrt = rsqrt_f32(-expm1_f32(add3 * f32(-0.0010005003)))
    for j5 in range(j0, j1):
        adam_m_dense1_bias2 = adam_m_dense1_bias[j5]
        d_dense1_bias2 = f32(total[j5 - j0])
        add = adam_m_dense1_bias2 * f32(0.9) + d_dense1_bias2 * f32(0.1)
        adam_v_dense1_bias2 = adam_v_dense1_bias[j5]
        add2 = adam_v_dense1_bias2 * f32(0.999) + d_dense1_bias2 * d_dense1_bias2 * f32(0.001)
        dense1_bias2 = dense1_bias[j5]
        sub = dense1_bias2 - neg * add / (sqrt(add2) * rsqrt + f32(1e-08))
        adam_m_dense1_bias[j5] = select(ok, add, adam_m_dense1_bias2)
        adam_v_dense1_bias[j5] = select(ok, add2, adam_v_dense1_bias2)
        dense1_bias[j5] = select(ok, sub, dense1_bias2)


def fused_sum_sqrt_div_2(fault, adam_m_dense3_bias, d_logits, adam_v_dense3_bias, dense3_bias, lr,
                         step, chunk):
    """eq mul sum add where cast expm1 div neg sqrt rsqrt sub
    models/mlp.py:18  models/mlp.py:12  models/mlp.py:15"""
    d_dense3_bias = local_f32(10)
    total = local_f64(10)
    for j in range(10):
        total[j] = f64(0.0)
    for r in range(0, 64, 32):
        for j2 in range(10):
            d_dense3_bias[j2] = f32(0.0)
        for r2 in range(r, min(r + 32, 64)):
            for j3 in range(10):
                d_dense3_bias[j3] = radd(d_dense3_bias[j3], d_logits[r2 * 10 + j3])
        for j4 in range(10):
            total[j4] = total[j4] + f64(d_dense3_bias[j4])
    ok = fault[0] == i32(0)
    add3 = f32(step[0]) + f32(1.0)
    neg = -(lr[0] / expm1_f32(add3 * f32(-0.105360515)))
    rsqrt = rsqrt_f32(-expm1_f32(add3 * f32(-0.0010005003)))
    for j5 in range(10):
        adam_m_dense3_bias2 = adam_m_dense3_bias[j5]
        d_dense3_bias2 = f32(total[j5])
        add = adam_m_dense3_bias2 * f32(0.9) + d_dense3_bias2 * f32(0.1)
        adam_v_dense3_bias2 = adam_v_dense3_bias[j5]
        add2 = adam_v_dense3_bias2 * f32(0.999) + d_dense3_bias2 * d_dense3_bias2 * f32(0.001)
        dense3_bias2 = dense3_bias[j5]
        sub = dense3_bias2 - neg * add / (sqrt(add2) * rsqrt + f32(1e-08))
        adam_m_dense3_bias[j5] = select(ok, add, adam_m_dense3_bias2)
        adam_v_dense3_bias[j5] = select(ok, add2, adam_v_dense3_bias2)
        dense3_bias[j5] = select(ok, sub, dense3_bias2)


def fused_matmul_sqrt_div(fault, adam_m_dense1_weight, d_dense1, adam_v_dense1_weight,
                          dense1_weight, lr, step, packed, chunk):
    """eq mul matmul add where cast expm1 div neg sqrt rsqrt sub
    models/mlp.py:18  models/mlp.py:12  models/mlp.py:15"""
    g = idiv(chunk, 8)
    box = imod(chunk, 8)
    n0 = box * 64
    bp = local_f32(65536)
    acc = local_f32(896)
    copy_f32(bp, 64, at(d_dense1, n0), 512, 64, 64)
    ok = fault[0] == i32(0)
    add3 = f32(step[0]) + f32(1.0)
    neg = -(lr[0] / expm1_f32(add3 * f32(-0.105360515)))
    rsqrt = rsqrt_f32(-expm1_f32(add3 * f32(-0.0010005003)))
    for p in range(g * 56, min(g * 56 + 56, 56)):
        rows = min(14, 784 - p * 14)
        for s in range(0, 64, 32):
            gemm_f32_14x32(at(packed, p * 896), at(bp, s), 64, 64, at(acc, s), 64, rows, 0)
        for i in range(rows):
            for n in range(64):
                adam_m_dense1_weight2 = adam_m_dense1_weight[p * 7168 + i * 512 + n + n0]
                d_dense1_weight = acc[i * 64 + n]
                add = adam_m_dense1_weight2 * f32(0.9) + d_dense1_weight * f32(0.1)
                adam_v_dense1_weight2 = adam_v_dense1_weight[p * 7168 + i * 512 + n + n0]
                add2 = adam_v_dense1_weight2 * f32(0.999) + d_dense1_weight * d_dense1_weight * f32(0.001)
                dense1_weight2 = dense1_weight[p * 7168 + i * 512 + n + n0]
                sub = dense1_weight2 - neg * add / (sqrt(add2) * rsqrt + f32(1e-08))
                adam_m_dense1_weight[p * 7168 + i * 512 + n + n0] = select(ok, add, adam_m_dense1_weight2)
                adam_v_dense1_weight[p * 7168 + i * 512 + n + n0] = select(ok, add2, adam_v_dense1_weight2)
                dense1_weight[p * 7168 + i * 512 + n + n0] = select(ok, sub, dense1_weight2)


def fused_copy(step_new, out, chunk):
    """copy
    models/mlp.py:18"""
    out[0] = step_new[0]


def fused_max(label, fault, chunk):
    """lt ge or_ max where
    models/mlp.py:18"""
    max2 = False
    for r in range(64):
        label2 = label[r]
        max2 = max2 | ((label2 < i32(0)) | (label2 >= i32(10)))
    fault[0] = select(max2, i32(1), i32(0))


def fused_matmul_2(dense1_weight, dense1_bias, relu1, packed, chunk):
    """matmul add le where
    models/mlp.py:12"""
    g = idiv(chunk, 8)
    box = imod(chunk, 8)
    n0 = box * 64
    bp = local_f32(65536)
    acc = local_f32(896)
    copy_f32(bp, 64, at(dense1_weight, n0), 512, 784, 64)
    for p in range(g * 5, min(g * 5 + 5, 5)):
        rows = min(14, 64 - p * 14)
        for s in range(0, 64, 32):
            for k in range(0, 784, 128):
                gemm_f32_14x32(at(packed, p * 10976 + k * 14), at(bp, k * 64 + s), 64, min(128, 784 - k), at(acc, s), 64, rows, k)
        for i in range(rows):
            row = p * 14 + i
            for n in range(64):
                dense1 = acc[i * 64 + n] + dense1_bias[n + n0]
                relu1[row * 512 + n + n0] = select(dense1 <= f32(0.0), f32(0.0), dense1)


def fused_matmul2_2(dense2_weight, dense2_bias, relu2, packed, chunk):
    """matmul add le where
    models/mlp.py:12"""
    g = idiv(chunk, 8)
    box = imod(chunk, 8)
    n0 = box * 64
    bp = local_f32(65536)
    acc = local_f32(896)
    copy_f32(bp, 64, at(dense2_weight, n0), 512, 512, 64)
    for p in range(g * 5, min(g * 5 + 5, 5)):
        rows = min(14, 64 - p * 14)
        for s in range(0, 64, 32):
            for k in range(0, 512, 128):
                gemm_f32_14x32(at(packed, p * 7168 + k * 14), at(bp, k * 64 + s), 64, min(128, 512 - k), at(acc, s), 64, rows, k)
        for i in range(rows):
            row = p * 14 + i
            for n in range(64):
                dense2 = acc[i * 64 + n] + dense2_bias[n + n0]
                relu2[row * 512 + n + n0] = select(dense2 <= f32(0.0), f32(0.0), dense2)


def fused_logsumexp_sum_div_3(logits, label, out, chunk):
    """max isfinite where sub exp sum log add maximum minimum eq mul div
    models/mlp.py:18"""
    for i in range(64):
        sum = f32(0.0)
        max2 = f32(-inf)
        for r0_2 in range(10):
            max2 = rmax(max2, logits[i * 10 + r0_2])
        where = select(abs(max2) < f32(inf), max2, f32(0.0))
        for r0 in range(10):
            sum = radd(sum, exp_f32(logits[i * 10 + r0] - where))
        sum2 = f32(0.0)
        log_total = log_f32(sum) + where
        minimum2 = min(max(label[i], i32(0)), i32(9))
        for r0_3 in range(10):
            where2 = select(minimum2 == i32(r0_3), logits[i * 10 + r0_3], f32(0.0))
            sum2 = radd(sum2, where2)
        sum3 = f32(0.0)
        mul = sum2 * f32(0.9)
        for r0_4 in range(10):
            sum3 = radd(sum3, logits[i * 10 + r0_4])
        out[i] = log_total - (mul + sum3 / f32(10.0) * f32(0.1))
