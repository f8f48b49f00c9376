def fused_random_bits_shr_cos(seed, step, corner, out, out2, chunk):
    """shr cast mul add minimum cos div sub sin maximum floor
    models/lenet.py:24"""
    seed2 = seed[0]
    step2 = step[0]
    for i in range(chunk * 448, min(chunk * 448 + 448, 1792)):
        random_bits2 = random_bits(seed2, step2, u32(1454790268), idiv(i, 28))
        mul = f32(shr_u32(random_bits2, u32(8))) * f32(2.0805945e-08)
        angle = minimum(mul + f32(-0.17453292), f32(0.1745329))
        random_bits3 = random_bits(seed2, step2, u32(263092656), idiv(i, 28))
        mul2 = f32(shr_u32(random_bits3, u32(8))) * f32(1.1920929e-08)
        zoom = minimum(mul2 + f32(0.9), f32(1.0999999))
        div = cos_f32(angle) / zoom
        random_bits4 = random_bits(seed2, step2, u32(861794230), idiv(i, 28))
        mul3 = f32(shr_u32(random_bits4, u32(8))) * f32(2.3841858e-07)
        sub2 = f32(imod(i, 28)) - f32(13.5) - minimum(mul3 + f32(-2.0), f32(1.9999999))
        div2 = sin_f32(angle) / zoom
        random_bits5 = random_bits(seed2, step2, u32(849315201), idiv(i, 28))
        mul5 = f32(shr_u32(random_bits5, u32(8))) * f32(2.3841858e-07)
        mul4 = div * sub2
        right = minimum(mul5 + f32(-2.0), f32(1.9999999))
        mul8 = div2 * sub2
        for r in range(28):
            sub4 = f32(r) - f32(13.5) - right
            maximum2 = maximum(mul4 - div2 * sub4 + f32(13.5), f32(-1.0))
            add5 = minimum(maximum2, f32(28.0)) + f32(1.0)
            top = floor(add5)
            minimum3 = minimum(maximum(mul8 + div * sub4 + f32(13.5), f32(-1.0)), f32(28.0))
            add7 = minimum3 + f32(1.0)
            left = floor(add7)
            corner[i * 28 + r] = i32(i32(i32(top) * i32(31)) + i32(left))
            out[i * 28 + r] = add7 - left
            out2[i * 28 + r] = add5 - top


def fused_gather(image, corner, sub, sub_2, image2, chunk):
    """gather add sub mul
    models/lenet.py:24"""
    for i in range(chunk * 448, min(chunk * 448 + 448, 1792)):
        for r in range(28):
            corner2 = corner[i * 28 + r]
            index = min(max(i64(corner2), 0), 960)
            image3 = image[idiv(i, 28) * 784 + idiv(index, 31) * 28 + imod(index, 31) - 29] if idiv(index, 31) >= 1 and idiv(index, 31) < 29 and imod(index, 31) >= 1 and imod(index, 31) < 29 else f32(0.0)
            index2 = min(max(i64(i32(corner2 + i32(1))), 0), 960)
            image4 = image[idiv(i, 28) * 784 + idiv(index2, 31) * 28 + imod(index2, 31) - 29] if idiv(index2, 31) >= 1 and idiv(index2, 31) < 29 and imod(index2, 31) >= 1 and imod(index2, 31) < 29 else f32(0.0)
            sub3 = sub[i * 28 + r]
            upper = image3 + (image4 - image3) * sub3
            index3 = min(max(i64(i32(corner2 + i32(31))), 0), 960)
            image5 = image[idiv(i, 28) * 784 + idiv(index3, 31) * 28 + imod(index3, 31) - 29] if idiv(index3, 31) >= 1 and idiv(index3, 31) < 29 and imod(index3, 31) >= 1 and imod(index3, 31) < 29 else f32(0.0)
            index4 = min(max(i64(i32(corner2 + i32(32))), 0), 960)
            image6 = image[idiv(i, 28) * 784 + idiv(index4, 31) * 28 + imod(index4, 31) - 29] if idiv(index4, 31) >= 1 and idiv(index4, 31) < 29 and imod(index4, 31) >= 1 and imod(index4, 31) < 29 else f32(0.0)
            mul3 = (image5 + (image6 - image5) * sub3 - upper) * sub_2[i * 28 + r]
            image2[i * 28 + r] = upper + mul3


def pack_transpose_f32_6(a, packed, m, k, step, leap, first, panels, each, groups, chunk):
    """A as panels of 6 rows, k by k, for the gemm tiles

    m rows, k columns; k side by side in memory, step elements from one row to the next.
    leap: elements between matrices; each: panels a chunk; groups: chunks a matrix."""
    b = idiv(chunk, groups)
    g = imod(chunk, groups)
    for p in range(g * each, min(g * each + each, panels)):
        rows = min(6, m - p * 6)
        transpose_f32(at(packed, (b * panels + p) * k * 6), 6, at(a, first + b * leap + p * 6 * step), step, rows, k)


def fused_conv_tanh(image, conv1_bias, tanh1, packed, chunk):
    """conv add tanh
    models/lenet.py:14"""
    n0 = chunk * 4
    ns = min(4, 64 - n0)
    table = local_i64(25)
    for t1 in range(5):
        for t2 in range(5):
            table[t1 * 5 + t2] = t1 * 32 + t2
    image2 = local_f32(1920)
    acc = local_f32(5376)
    for t in range(1920):
        image2[t] = f32(0.0)
    for n in range(ns):
        copy_f32(at(image2, 66), 32, at(image, n * 784 + n0 * 784), 28, 28, 28)
        for s in range(0, 896, 64):
            taps_f32_6x64(packed, at(image2, s), table, 25, at(acc, s), 896, 6, 0)
        for i in range(6):
            block = local_f32(784)
            copy_f32(block, 28, at(acc, i * 896), 32, 28, 28)
            conv1_bias2 = conv1_bias[i]
            for n2 in range(784):
                tanh1[n * 4704 + n0 * 4704 + i * 784 + n2] = tanh_f32(block[n2] + conv1_bias2)


def fused_sum(tanh1, avg_pool1, chunk):
    """sum mul
    models/lenet.py:14"""
    for i in range(chunk * 1170, min(chunk * 1170 + 1170, 5376)):
        for r in range(14):
            sum = f32(0.0)
            for r0 in range(2):
                for r1 in range(2):
                    sum = radd(sum, tanh1[i * 56 + r0 * 28 + r * 2 + r1])
            avg_pool1[i * 14 + r] = sum * f32(0.25)


def pack_transpose_f32_8(a, packed, m, k, step, leap, first, panels, each, groups, chunk):
    """A as panels of 8 rows, k by k, for the gemm tiles

    m rows, k columns; k side by side in memory, step elements from one row to the next.
    leap: elements between matrices; each: panels a chunk; groups: chunks a matrix."""
    b = idiv(chunk, groups)
    g = imod(chunk, groups)
    for p in range(g * each, min(g * each + each, panels)):
        rows = min(8, m - p * 8)
        transpose_f32(at(packed, (b * panels + p) * k * 8), 8, at(a, first + b * leap + p * 8 * step), step, rows, k)


def fused_conv_tanh2(avg_pool1, conv2_bias, tanh2, packed, chunk):
    """conv add tanh
    models/lenet.py:15"""
    n0 = chunk * 4
    ns = min(4, 64 - n0)
    table = local_i64(150)
    for t in range(6):
        for t1 in range(5):
            for t2 in range(5):
                table[t * 25 + t1 * 5 + t2] = t * 196 + t1 * 14 + t2
    image = local_f32(1320)
    acc = local_f32(1152)
    for n in range(ns):
        for c in range(6):
            copy_f32(at(image, c * 196), 14, at(avg_pool1, n * 1176 + n0 * 1176 + c * 196), 14, 14, 14)
        for p in range(2):
            rows = min(8, 16 - p * 8)
            for s in range(0, 144, 48):
                for k in range(0, 150, 128):
                    taps_f32_8x48(at(packed, p * 1200 + k * 8), at(image, s), at(table, k), min(128, 150 - k), at(acc, s), 144, rows, k)
            for i in range(rows):
                block = local_f32(100)
                copy_f32(block, 10, at(acc, i * 144), 14, 10, 10)
                conv2_bias2 = conv2_bias[p * 8 + i]
                for n2 in range(100):
                    tanh2[n * 1600 + n0 * 1600 + p * 800 + i * 100 + n2] = tanh_f32(block[n2] + conv2_bias2)


def fused_sum2(tanh2, avg_pool2, chunk):
    """sum mul
    models/lenet.py:15"""
    for i in range(chunk * 1280, min(chunk * 1280 + 1280, 5120)):
        for r in range(5):
            sum = f32(0.0)
            for r0 in range(2):
                for r1 in range(2):
                    sum = radd(sum, tanh2[i * 20 + r0 * 10 + r * 2 + r1])
            avg_pool2[i * 5 + r] = sum * f32(0.25)


def blocks_copy_f32(x, packed, k, width, lanes, blocks, step, leap, first, each, groups, deep,
                    parts, chunk):
    """Blocks of `width` lanes, k by k, zeros where lanes are missing, for the tiles of products

    lanes side by side in memory, step elements from one k to the next.
    lanes, blocks: of a matrix; leap: elements between matrices; each: blocks a chunk;
    groups: chunks a matrix; deep: k a chunk; parts: chunks of that."""
    g = imod(idiv(chunk, parts), groups)
    b = idiv(idiv(chunk, parts), groups)
    low = imod(chunk, parts) * deep
    many = min(deep, k - low)
    for p in range(g * each, min(g * each + each, blocks)):
        live = min(width, lanes - p * width)
        copy_f32(at(packed, ((b * blocks + p) * k + low) * width), width, at(x, first + b * leap + p * width + low * step), step, many, live)
        for i in range(low, low + many):
            for j in range(live, width):
                packed[((b * blocks + p) * k + i) * width + j] = f32(0.0)


def pack_transpose_f32_14(a, packed, m, k, step, leap, first, panels, each, groups, chunk):
    """A as panels of 14 rows, k by k, for the gemm tiles

    m rows, k columns; k side by side in memory, step elements from one row to the next.
    leap: elements between matrices; each: panels a chunk; groups: chunks a matrix."""
    b = idiv(chunk, groups)
    g = imod(chunk, groups)
    for p in range(g * each, min(g * each + each, panels)):
        rows = min(14, m - p * 14)
        transpose_f32(at(packed, (b * panels + p) * k * 14), 14, at(a, first + b * leap + p * 14 * step), step, rows, k)


def fused_matmul_tanh(dense1_weight_packed, dense1_bias, tanh3, packed, chunk):
    """matmul add tanh
    models/lenet.py:16  models/lenet.py:17"""
    g = idiv(chunk, 2)
    box = imod(chunk, 2)
    n0 = box * 64
    ns = min(64, 120 - n0)
    acc = local_f32(896)
    for p in range(g * 2, min(g * 2 + 2, 5)):
        rows = min(14, 64 - p * 14)
        for s in range(0, ns, 32):
            for k in range(0, 400, 128):
                gemm_f32_14x32(at(packed, p * 5600 + k * 14), at(dense1_weight_packed, box * 25600 + k * 64 + s), 64, min(128, 400 - k), at(acc, s), 64, rows, k)
        for i in range(rows):
            row = p * 14 + i
            for n in range(ns):
                tanh3[row * 120 + n + n0] = tanh_f32(acc[i * 64 + n] + dense1_bias[n + n0])


def fused_matmul_tanh2(tanh3, dense2_weight_packed, dense2_bias, tanh4, chunk):
    """matmul add tanh
    models/lenet.py:18"""
    ap = local_f32(1680)
    acc = local_f32(1344)
    for p in range(chunk * 2, min(chunk * 2 + 2, 5)):
        rows = min(14, 64 - p * 14)
        transpose_f32(ap, 14, at(tanh3, p * 1680), 120, rows, 120)
        for s in range(0, 84, 32):
            gemm_f32_14x32(ap, at(dense2_weight_packed, s), 96, 120, at(acc, s), 96, rows, 0)
        for i in range(rows):
            row = p * 14 + i
            for n in range(84):
                tanh4[row * 84 + n] = tanh_f32(acc[i * 96 + n] + dense2_bias[n])


def fused_matmul(dense3_weight, dense3_bias, logits, packed, chunk):
    """matmul add
    models/lenet.py:19"""
    bp = local_f32(65536)
    acc = local_f32(448)
    copy_f32(bp, 32, dense3_weight, 10, 84, 10)
    for p in range(chunk * 2, min(chunk * 2 + 2, 5)):
        rows = min(14, 64 - p * 14)
        gemm_f32_14x32(at(packed, p * 1176), bp, 32, 84, acc, 32, rows, 0)
        for i in range(rows):
            row = p * 14 + i
            for n in range(10):
                logits[row * 10 + n] = acc[i * 32 + n] + dense3_bias[n]


def fused_logsumexp_sum_argmax(logits, label, out, d_logits, chunk):
    """max isfinite where sub exp sum log add maximum minimum eq mul
    models/lenet.py:27"""
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
            where = select(minimum2 == i32(r), f32(-0.015625), f32(0.0))
            mul = exp_f32(logits[i * 10 + r] - log_total) * f32(0.015625)
            d_logits[i * 10 + r] = where + mul
        chosen = f32(0.0)
        for r0_3 in range(10):
            where3 = select(minimum2 == i32(r0_3), logits[i * 10 + r0_3], f32(0.0))
            chosen = radd(chosen, where3)
        out[i] = log_total - chosen


def fused_logsumexp_sum_argmax_2(logits, label, out, chunk):
    """argmax eq cast
    models/lenet.py:27"""
    for i in range(64):
        argmax = f32(-inf)
        argmax_s1 = i32(2147483647)
        for r0 in range(10):
            logits2 = logits[i * 10 + r0]
            wins = (logits2 > argmax) | ((logits2 != logits2) & (argmax == argmax)) | (((logits2 == argmax) | ((logits2 != logits2) & (argmax != argmax))) & (i32(r0) < argmax_s1))
            argmax = select(wins, logits2, argmax)
            argmax_s1 = select(wins, i32(r0), argmax_s1)
        out[i] = f32(argmax_s1 == label[i])


def fused_sum3(cast, accuracy, chunk):
    """sum mul
    models/lenet.py:27"""
    sum = f32(0.0)
    for r in range(64):
        sum = radd(sum, cast[r])
    accuracy[0] = sum * f32(0.015625)


def fused_sum_max_isfinite(sub, label, step, loss, fault, step_new, chunk):
    """sum mul lt ge or_ max isfinite where eq add
    models/lenet.py:27"""
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


def fused_matmul2(dense3_weight, tanh4, d_dense2, packed, chunk):
    """matmul mul sub
    models/lenet.py:19  models/lenet.py:18"""
    bp = local_f32(65536)
    acc = local_f32(1344)
    transpose_f32(bp, 96, dense3_weight, 10, 84, 10)
    for p in range(chunk * 2, min(chunk * 2 + 2, 5)):
        rows = min(14, 64 - p * 14)
        for s in range(0, 84, 32):
            gemm_f32_14x32(at(packed, p * 140), at(bp, s), 96, 10, at(acc, s), 96, rows, 0)
        for i in range(rows):
            row = p * 14 + i
            for n in range(84):
                tanh4_2 = tanh4[row * 84 + n]
                d_dense2[row * 84 + n] = acc[i * 96 + n] * (f32(1.0) - tanh4_2 * tanh4_2)


def fused_mul(step, steps_per_epoch, lr, chunk):
    """cast mul div minimum cos add
    models/lenet.py:23"""
    div = f32(step[0]) / (f32(steps_per_epoch[0]) * f32(60.0))
    add = cos_f32(minimum(div, f32(1.0)) * f32(3.1415927)) + f32(1.0)
    lr[0] = add * f32(0.001)


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
    models/lenet.py:27  models/lenet.py:19  models/lenet.py:23"""
    bp = local_f32(65536)
    acc = local_f32(448)
    copy_f32(bp, 32, d_logits, 10, 64, 10)
    ok = fault[0] == i32(0)
    add3 = f32(step[0]) + f32(1.0)
    neg = -(lr[0] / expm1_f32(add3 * f32(-0.105360515)))
    rsqrt = rsqrt_f32(-expm1_f32(add3 * f32(-0.0010005003)))
    for p in range(chunk * 2, min(chunk * 2 + 2, 6)):
        rows = min(14, 84 - p * 14)
        gemm_f32_14x32(at(packed, p * 896), bp, 32, 64, acc, 32, rows, 0)
        for i in range(rows):
            for n in range(10):
                adam_m_dense3_weight2 = adam_m_dense3_weight[p * 140 + i * 10 + n]
                d_dense3_weight = acc[i * 32 + n]
                add = adam_m_dense3_weight2 * f32(0.9) + d_dense3_weight * f32(0.1)
                adam_v_dense3_weight2 = adam_v_dense3_weight[p * 140 + i * 10 + n]
                add2 = adam_v_dense3_weight2 * f32(0.999) + d_dense3_weight * d_dense3_weight * f32(0.001)
                dense3_weight2 = dense3_weight[p * 140 + i * 10 + n]
                sub = dense3_weight2 - neg * add / (sqrt(add2) * rsqrt + f32(1e-08))
                adam_m_dense3_weight[p * 140 + i * 10 + n] = select(ok, add, adam_m_dense3_weight2)
                adam_v_dense3_weight[p * 140 + i * 10 + n] = select(ok, add2, adam_v_dense3_weight2)
                dense3_weight[p * 140 + i * 10 + n] = select(ok, sub, dense3_weight2)


def blocks_transpose_f32(x, packed, k, width, lanes, blocks, step, leap, first, each, groups, deep,
                         parts, chunk):
    """Blocks of `width` lanes, k by k, zeros where lanes are missing, for the tiles of products

    k side by side in memory, step elements from one lane to the next.
    lanes, blocks: of a matrix; leap: elements between matrices; each: blocks a chunk;
    groups: chunks a matrix; deep: k a chunk; parts: chunks of that."""
    g = imod(idiv(chunk, parts), groups)
    b = idiv(idiv(chunk, parts), groups)
    low = imod(chunk, parts) * deep
    many = min(deep, k - low)
    for p in range(g * each, min(g * each + each, blocks)):
        live = min(width, lanes - p * width)
        transpose_f32(at(packed, ((b * blocks + p) * k + low) * width), width, at(x, first + b * leap + p * width * step + low), step, live, many)
        for i in range(low, low + many):
            for j in range(live, width):
                packed[((b * blocks + p) * k + i) * width + j] = f32(0.0)


def fused_matmul3(d_dense2, dense2_weight_packed, tanh3, d_dense1, chunk):
    """matmul mul sub
    models/lenet.py:18  models/lenet.py:17"""
    g = idiv(chunk, 2)
    box = imod(chunk, 2)
    n0 = box * 64
    ns = min(64, 120 - n0)
    ap = local_f32(1176)
    acc = local_f32(896)
    for p in range(g * 2, min(g * 2 + 2, 5)):
        rows = min(14, 64 - p * 14)
        transpose_f32(ap, 14, at(d_dense2, p * 1176), 84, rows, 84)
        for s in range(0, ns, 32):
            gemm_f32_14x32(ap, at(dense2_weight_packed, box * 5376 + s), 64, 84, at(acc, s), 64, rows, 0)
        for i in range(rows):
            row = p * 14 + i
            for n in range(ns):
                tanh3_2 = tanh3[row * 120 + n + n0]
                d_dense1[row * 120 + n + n0] = acc[i * 64 + n] * (f32(1.0) - tanh3_2 * tanh3_2)


def fused_sum_sqrt_div(fault, adam_m_dense1_bias, d_dense1, adam_v_dense1_bias, dense1_bias, lr,
                       step, chunk):
    """eq mul sum add where cast expm1 div neg sqrt rsqrt sub
    models/lenet.py:27  models/lenet.py:17  models/lenet.py:23"""
    d_dense1_bias = local_f32(120)
    total = local_f64(120)
    for j in range(120):
        total[j] = f64(0.0)
    for r in range(0, 64, 32):
        for j2 in range(120):
            d_dense1_bias[j2] = f32(0.0)
        for r2 in range(r, min(r + 32, 64)):
            for j3 in range(120):
                d_dense1_bias[j3] = radd(d_dense1_bias[j3], d_dense1[r2 * 120 + j3])
        for j4 in range(120):
            total[j4] = total[j4] + f64(d_dense1_bias[j4])
    ok = fault[0] == i32(0)
    add3 = f32(step[0]) + f32(1.0)
    neg = -(lr[0] / expm1_f32(add3 * f32(-0.105360515)))
    rsqrt = rsqrt_f32(-expm1_f32(add3 * f32(-0.0010005003)))
    for j5 in range(120):
        adam_m_dense1_bias2 = adam_m_dense1_bias[j5]
        d_dense1_bias2 = f32(total[j5])
        add = adam_m_dense1_bias2 * f32(0.9) + d_dense1_bias2 * f32(0.1)
        adam_v_dense1_bias2 = adam_v_dense1_bias[j5]
        add2 = adam_v_dense1_bias2 * f32(0.999) + d_dense1_bias2 * d_dense1_bias2 * f32(0.001)
        dense1_bias2 = dense1_bias[j5]
        sub = dense1_bias2 - neg * add / (sqrt(add2) * rsqrt + f32(1e-08))
        adam_m_dense1_bias[j5] = select(ok, add, adam_m_dense1_bias2)
        adam_v_dense1_bias[j5] = select(ok, add2, adam_v_dense1_bias2)
        dense1_bias[j5] = select(ok, sub, dense1_bias2)


def fused_sum_sqrt_div_2(fault, adam_m_dense2_bias, d_dense2, adam_v_dense2_bias, dense2_bias, lr,
                         step, chunk):
    """eq mul sum add where cast expm1 div neg sqrt rsqrt sub
    models/lenet.py:27  models/lenet.py:18  models/lenet.py:23"""
    d_dense2_bias = local_f32(84)
    total = local_f64(84)
    for j in range(84):
        total[j] = f64(0.0)
    for r in range(0, 64, 32):
        for j2 in range(84):
            d_dense2_bias[j2] = f32(0.0)
        for r2 in range(r, min(r + 32, 64)):
            for j3 in range(84):
                d_dense2_bias[j3] = radd(d_dense2_bias[j3], d_dense2[r2 * 84 + j3])
        for j4 in range(84):
            total[j4] = total[j4] + f64(d_dense2_bias[j4])
    ok = fault[0] == i32(0)
    add3 = f32(step[0]) + f32(1.0)
    neg = -(lr[0] / expm1_f32(add3 * f32(-0.105360515)))
    rsqrt = rsqrt_f32(-expm1_f32(add3 * f32(-0.0010005003)))
    for j5 in range(84):
        adam_m_dense2_bias2 = adam_m_dense2_bias[j5]
        d_dense2_bias2 = f32(total[j5])
        add = adam_m_dense2_bias2 * f32(0.9) + d_dense2_bias2 * f32(0.1)
        adam_v_dense2_bias2 = adam_v_dense2_bias[j5]
        add2 = adam_v_dense2_bias2 * f32(0.999) + d_dense2_bias2 * d_dense2_bias2 * f32(0.001)
        dense2_bias2 = dense2_bias[j5]
        sub = dense2_bias2 - neg * add / (sqrt(add2) * rsqrt + f32(1e-08))
        adam_m_dense2_bias[j5] = select(ok, add, adam_m_dense2_bias2)
        adam_v_dense2_bias[j5] = select(ok, add2, adam_v_dense2_bias2)
        dense2_bias[j5] = select(ok, sub, dense2_bias2)


def fused_sum_sqrt_div_3(fault, adam_m_dense3_bias, d_logits, adam_v_dense3_bias, dense3_bias, lr,
                         step, chunk):
    """eq mul sum add where cast expm1 div neg sqrt rsqrt sub
    models/lenet.py:27  models/lenet.py:19  models/lenet.py:23"""
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


def fused_matmul_sqrt_div2(fault, adam_m_dense2_weight, tanh3, d_dense2_packed,
                           adam_v_dense2_weight, dense2_weight, lr, step, chunk):
    """eq mul matmul add where cast expm1 div neg sqrt rsqrt sub
    models/lenet.py:27  models/lenet.py:18  models/lenet.py:23"""
    ok = fault[0] == i32(0)
    add3 = f32(step[0]) + f32(1.0)
    neg = -(lr[0] / expm1_f32(add3 * f32(-0.105360515)))
    rsqrt = rsqrt_f32(-expm1_f32(add3 * f32(-0.0010005003)))
    ap = local_f32(896)
    acc = local_f32(1344)
    for p in range(chunk * 2, min(chunk * 2 + 2, 9)):
        rows = min(14, 120 - p * 14)
        copy_f32(ap, 14, at(tanh3, p * 14), 120, 64, rows)
        for s in range(0, 84, 32):
            gemm_f32_14x32(ap, at(d_dense2_packed, s), 96, 64, at(acc, s), 96, rows, 0)
        for i in range(rows):
            row = p * 14 + i
            for n in range(84):
                adam_m_dense2_weight2 = adam_m_dense2_weight[row * 84 + n]
                d_dense2_weight = acc[i * 96 + n]
                add = adam_m_dense2_weight2 * f32(0.9) + d_dense2_weight * f32(0.1)
                adam_v_dense2_weight2 = adam_v_dense2_weight[row * 84 + n]
                add2 = adam_v_dense2_weight2 * f32(0.999) + d_dense2_weight * d_dense2_weight * f32(0.001)
                dense2_weight2 = dense2_weight[row * 84 + n]
                sub = dense2_weight2 - neg * add / (sqrt(add2) * rsqrt + f32(1e-08))
                adam_m_dense2_weight[row * 84 + n] = select(ok, add, adam_m_dense2_weight2)
                adam_v_dense2_weight[row * 84 + n] = select(ok, add2, adam_v_dense2_weight2)
                dense2_weight[row * 84 + n] = select(ok, sub, dense2_weight2)


def fused_matmul4(dense1_weight, d_flatten1, packed, chunk):
    """matmul
    models/lenet.py:17"""
    g = idiv(chunk, 5)
    box = imod(chunk, 5)
    n0 = box * 96
    ns = min(96, 400 - n0)
    bp = local_f32(65536)
    acc = local_f32(1344)
    transpose_f32(bp, 96, at(dense1_weight, n0 * 120), 120, ns, 120)
    for p in range(g * 5, min(g * 5 + 5, 5)):
        rows = min(14, 64 - p * 14)
        for s in range(0, ns, 32):
            gemm_f32_14x32(at(packed, p * 1680), at(bp, s), 96, 120, at(acc, s), 96, rows, 0)
        copy_f32(at(d_flatten1, p * 5600 + n0), 400, acc, 96, rows, ns)


def fused_matmul_sqrt_div(fault, adam_m_dense1_weight, d_dense1_packed, adam_v_dense1_weight,
                          dense1_weight, lr, step, packed, chunk):
    """eq mul matmul add where cast expm1 div neg sqrt rsqrt sub
    models/lenet.py:27  models/lenet.py:17  models/lenet.py:23  models/lenet.py:16"""
    g = idiv(chunk, 2)
    box = imod(chunk, 2)
    n0 = box * 64
    ns = min(64, 120 - n0)
    ok = fault[0] == i32(0)
    add3 = f32(step[0]) + f32(1.0)
    neg = -(lr[0] / expm1_f32(add3 * f32(-0.105360515)))
    rsqrt = rsqrt_f32(-expm1_f32(add3 * f32(-0.0010005003)))
    acc = local_f32(896)
    for p in range(g * 8, min(g * 8 + 8, 29)):
        rows = min(14, 400 - p * 14)
        for s in range(0, ns, 32):
            gemm_f32_14x32(at(packed, p * 896), at(d_dense1_packed, box * 4096 + s), 64, 64, at(acc, s), 64, rows, 0)
        for i in range(rows):
            row = p * 14 + i
            for n in range(ns):
                adam_m_dense1_weight2 = adam_m_dense1_weight[row * 120 + n + n0]
                d_dense1_weight = acc[i * 64 + n]
                add = adam_m_dense1_weight2 * f32(0.9) + d_dense1_weight * f32(0.1)
                adam_v_dense1_weight2 = adam_v_dense1_weight[row * 120 + n + n0]
                add2 = adam_v_dense1_weight2 * f32(0.999) + d_dense1_weight * d_dense1_weight * f32(0.001)
                dense1_weight2 = dense1_weight[row * 120 + n + n0]
                sub = dense1_weight2 - neg * add / (sqrt(add2) * rsqrt + f32(1e-08))
                adam_m_dense1_weight[row * 120 + n + n0] = select(ok, add, adam_m_dense1_weight2)
                adam_v_dense1_weight[row * 120 + n + n0] = select(ok, add2, adam_v_dense1_weight2)
                dense1_weight[row * 120 + n + n0] = select(ok, sub, dense1_weight2)


def fused_fold_sum_sqrt(d_flatten1, tanh2, fault, adam_m_conv2_bias, adam_v_conv2_bias, conv2_bias,
                        lr, step, d_conv2, chunk):
    """mul fold sub eq sum add where cast expm1 div neg sqrt rsqrt
    models/lenet.py:16  models/lenet.py:15  models/lenet.py:27  models/lenet.py:23"""
    ok = fault[0] == i32(0)
    add3 = f32(step[0]) + f32(1.0)
    neg = -(lr[0] / expm1_f32(add3 * f32(-0.105360515)))
    rsqrt = rsqrt_f32(-expm1_f32(add3 * f32(-0.0010005003)))
    for i in range(chunk * 2, min(chunk * 2 + 2, 16)):
        total = f64(0.0)
        for r in range(64):
            for r2 in range(10):
                d_conv2_bias = f32(0.0)
                for r3 in range(10):
                    d_flatten1_2 = d_flatten1[r * 400 + i * 25 + idiv(r2, 2) * 5 + idiv(r3, 2)]
                    tanh2_2 = tanh2[r * 1600 + i * 100 + r2 * 10 + r3]
                    d_conv2_2 = d_flatten1_2 * f32(0.25) * (f32(1.0) - tanh2_2 * tanh2_2)
                    d_conv2_bias = radd(d_conv2_bias, d_conv2_2)
                    d_conv2[r * 1600 + i * 100 + r2 * 10 + r3] = d_conv2_2
                total = total + f64(d_conv2_bias)
        d_conv2_bias2 = f32(total)
        adam_m_conv2_bias2 = adam_m_conv2_bias[i]
        add = adam_m_conv2_bias2 * f32(0.9) + d_conv2_bias2 * f32(0.1)
        adam_v_conv2_bias2 = adam_v_conv2_bias[i]
        add2 = adam_v_conv2_bias2 * f32(0.999) + d_conv2_bias2 * d_conv2_bias2 * f32(0.001)
        conv2_bias2 = conv2_bias[i]
        sub2 = conv2_bias2 - neg * add / (sqrt(add2) * rsqrt + f32(1e-08))
        adam_m_conv2_bias[i] = select(ok, add, adam_m_conv2_bias2)
        adam_v_conv2_bias[i] = select(ok, add2, adam_v_conv2_bias2)
        conv2_bias[i] = select(ok, sub2, conv2_bias2)


def fused_conv_pack(conv2_weight, packed, chunk):
    """conv mul
    models/lenet.py:15  models/lenet.py:14"""
    rows = min(6, 6 - chunk * 6)
    for k in range(400):
        for i in range(rows):
            row = chunk * 6 + i
            packed[chunk * 2400 + k * 6 + i] = conv2_weight[idiv(k, 25) * 150 + row * 25 + 24 - imod(idiv(k, 5), 5) * 5 - imod(k, 5)]


def fused_conv(d_conv2, out, packed, chunk):
    """conv mul
    models/lenet.py:15  models/lenet.py:14"""
    n0 = chunk * 4
    ns = min(4, 64 - n0)
    table = local_i64(400)
    for t in range(16):
        for t1 in range(5):
            for t2 in range(5):
                table[t * 25 + t1 * 5 + t2] = t * 324 + t1 * 18 + t2
    image = local_f32(5440)
    acc = local_f32(1536)
    for t3 in range(5440):
        image[t3] = f32(0.0)
    for n in range(ns):
        for c in range(16):
            copy_f32(at(image, c * 324 + 76), 18, at(d_conv2, n * 1600 + n0 * 1600 + c * 100), 10, 10, 10)
        for s in range(0, 256, 64):
            for k in range(0, 400, 128):
                taps_f32_6x64(at(packed, k * 6), at(image, s), at(table, k), min(128, 400 - k), at(acc, s), 256, 6, k)
        for i in range(6):
            block = local_f32(196)
            copy_f32(block, 14, at(acc, i * 256), 18, 14, 14)
            for n2 in range(196):
                out[n * 1176 + n0 * 1176 + i * 196 + n2] = block[n2] * f32(0.25)


def fused_conv_sqrt_div2_sums(avg_pool1, d_conv2, parts, chunk):
    """eq mul conv add where cast expm1 div neg sqrt rsqrt sub
    models/lenet.py:27  models/lenet.py:15  models/lenet.py:23"""
    m0 = chunk * 8
    ms = min(8, 64 - m0)
    table = local_i64(150)
    for t in range(6):
        for t1 in range(5):
            for t2 in range(5):
                table[t * 25 + t1 * 5 + t2] = t * 196 + t1 * 14 + t2
    left = local_f32(18432)
    image = local_f32(9552)
    for t3 in range(18432):
        left[t3] = f32(0.0)
    for t4 in range(9552):
        image[t4] = f32(0.0)
    for m in range(ms):
        for c in range(6):
            copy_f32(at(image, m * 1176 + c * 196), 14, at(avg_pool1, m * 1176 + m0 * 1176 + c * 196), 14, 14, 14)
        for i in range(16):
            copy_f32(at(left, m * 2304 + i * 144), 14, at(d_conv2, m * 1600 + m0 * 1600 + i * 100), 10, 10, 10)
    for s in range(25):
        for p in range(4):
            dots_f32_4x6(at(left, p * 576), 144, image, at(table, s * 6), 144, ms, 2304, 1176, at(parts, chunk * 2400 + p * 600 + s * 6), 150)


def fused_conv_sqrt_div2(fault, adam_m_conv2_weight, adam_v_conv2_weight, conv2_weight, lr, step,
                         parts, chunk):
    """eq mul conv add where cast expm1 div neg sqrt rsqrt sub
    models/lenet.py:27  models/lenet.py:15  models/lenet.py:23"""
    total = local_f32(150)
    for n in range(150):
        total[n] = parts[chunk * 150 + n]
    for s in range(1, 8):
        for n2 in range(150):
            total[n2] = total[n2] + parts[s * 2400 + chunk * 150 + n2]
    ok = fault[0] == i32(0)
    add3 = f32(step[0]) + f32(1.0)
    neg = -(lr[0] / expm1_f32(add3 * f32(-0.105360515)))
    rsqrt = rsqrt_f32(-expm1_f32(add3 * f32(-0.0010005003)))
    for n3 in range(150):
        adam_m_conv2_weight2 = adam_m_conv2_weight[chunk * 150 + n3]
        conv = total[n3]
        add = adam_m_conv2_weight2 * f32(0.9) + conv * f32(0.1)
        adam_v_conv2_weight2 = adam_v_conv2_weight[chunk * 150 + n3]
        add2 = adam_v_conv2_weight2 * f32(0.999) + conv * conv * f32(0.001)
        conv2_weight2 = conv2_weight[chunk * 150 + n3]
        sub = conv2_weight2 - neg * add / (sqrt(add2) * rsqrt + f32(1e-08))
        adam_m_conv2_weight[chunk * 150 + n3] = select(ok, add, adam_m_conv2_weight2)
        adam_v_conv2_weight[chunk * 150 + n3] = select(ok, add2, adam_v_conv2_weight2)
        conv2_weight[chunk * 150 + n3] = select(ok, sub, conv2_weight2)


def fused_fold_sum_sqrt2(mul, tanh1, fault, adam_m_conv1_bias, adam_v_conv1_bias, conv1_bias, lr,
                         step, d_conv1, chunk):
    """fold mul sub eq sum add where cast expm1 div neg sqrt rsqrt
    models/lenet.py:14  models/lenet.py:27  models/lenet.py:23"""
    ok = fault[0] == i32(0)
    add3 = f32(step[0]) + f32(1.0)
    total = f64(0.0)
    neg = -(lr[0] / expm1_f32(add3 * f32(-0.105360515)))
    rsqrt = rsqrt_f32(-expm1_f32(add3 * f32(-0.0010005003)))
    for r in range(64):
        for r2 in range(28):
            d_conv1_bias = f32(0.0)
            for r3 in range(28):
                mul2 = mul[r * 1176 + chunk * 196 + idiv(r2, 2) * 14 + idiv(r3, 2)]
                tanh1_2 = tanh1[r * 4704 + chunk * 784 + r2 * 28 + r3]
                d_conv1_2 = mul2 * (f32(1.0) - tanh1_2 * tanh1_2)
                d_conv1_bias = radd(d_conv1_bias, d_conv1_2)
                d_conv1[r * 4704 + chunk * 784 + r2 * 28 + r3] = d_conv1_2
            total = total + f64(d_conv1_bias)
    d_conv1_bias2 = f32(total)
    adam_m_conv1_bias2 = adam_m_conv1_bias[chunk]
    add = adam_m_conv1_bias2 * f32(0.9) + d_conv1_bias2 * f32(0.1)
    adam_v_conv1_bias2 = adam_v_conv1_bias[chunk]
    add2 = adam_v_conv1_bias2 * f32(0.999) + d_conv1_bias2 * d_conv1_bias2 * f32(0.001)
    conv1_bias2 = conv1_bias[chunk]
    sub2 = conv1_bias2 - neg * add / (sqrt(add2) * rsqrt + f32(1e-08))
    adam_m_conv1_bias[chunk] = select(ok, add, adam_m_conv1_bias2)
    adam_v_conv1_bias[chunk] = select(ok, add2, adam_v_conv1_bias2)
    conv1_bias[chunk] = select(ok, sub2, conv1_bias2)


def fused_conv_sqrt_div_sums(image, d_conv1, parts, chunk):
    """eq mul conv add where cast expm1 div neg sqrt rsqrt sub
    models/lenet.py:27  models/lenet.py:14  models/lenet.py:23"""
    m0 = chunk * 8
    ms = min(8, 64 - m0)
    table = local_i64(25)
    for t1 in range(5):
        for t2 in range(5):
            table[t1 * 5 + t2] = t1 * 32 + t2
    left = local_f32(43008)
    image2 = local_f32(9088)
    for t in range(43008):
        left[t] = f32(0.0)
    for t3 in range(9088):
        image2[t3] = f32(0.0)
    for m in range(ms):
        copy_f32(at(image2, m * 1024 + 66), 32, at(image, m * 784 + m0 * 784), 28, 28, 28)
        for i in range(6):
            copy_f32(at(left, m * 5376 + i * 896), 32, at(d_conv1, m * 4704 + m0 * 4704 + i * 784), 28, 28, 28)
    for s in range(5):
        for p in range(2):
            dots_f32_3x5(at(left, p * 2688), 896, image2, at(table, s * 5), 896, ms, 5376, 1024, at(parts, chunk * 150 + p * 75 + s * 5), 25)


def fused_conv_sqrt_div(fault, adam_m_conv1_weight, adam_v_conv1_weight, conv1_weight, lr, step,
                        parts, chunk):
    """eq mul conv add where cast expm1 div neg sqrt rsqrt sub
    models/lenet.py:27  models/lenet.py:14  models/lenet.py:23"""
    total = local_f32(25)
    for n in range(25):
        total[n] = parts[chunk * 25 + n]
    for s in range(1, 8):
        for n2 in range(25):
            total[n2] = total[n2] + parts[s * 150 + chunk * 25 + n2]
    ok = fault[0] == i32(0)
    add3 = f32(step[0]) + f32(1.0)
    neg = -(lr[0] / expm1_f32(add3 * f32(-0.105360515)))
    rsqrt = rsqrt_f32(-expm1_f32(add3 * f32(-0.0010005003)))
    for n3 in range(25):
        adam_m_conv1_weight2 = adam_m_conv1_weight[chunk * 25 + n3]
        conv = total[n3]
        add = adam_m_conv1_weight2 * f32(0.9) + conv * f32(0.1)
        adam_v_conv1_weight2 = adam_v_conv1_weight[chunk * 25 + n3]
        add2 = adam_v_conv1_weight2 * f32(0.999) + conv * conv * f32(0.001)
        conv1_weight2 = conv1_weight[chunk * 25 + n3]
        sub = conv1_weight2 - neg * add / (sqrt(add2) * rsqrt + f32(1e-08))
        adam_m_conv1_weight[chunk * 25 + n3] = select(ok, add, adam_m_conv1_weight2)
        adam_v_conv1_weight[chunk * 25 + n3] = select(ok, add2, adam_v_conv1_weight2)
        conv1_weight[chunk * 25 + n3] = select(ok, sub, conv1_weight2)


def fused_copy(step_new, out, chunk):
    """copy
    models/lenet.py:27"""
    out[0] = step_new[0]


def fused_max(label, fault, chunk):
    """lt ge or_ max where
    models/lenet.py:27"""
    max2 = False
    for r in range(64):
        label2 = label[r]
        max2 = max2 | ((label2 < i32(0)) | (label2 >= i32(10)))
    fault[0] = select(max2, i32(1), i32(0))


def fused_logsumexp_sum_argmax_3(logits, label, out, chunk):
    """max isfinite where sub exp sum log add maximum minimum eq
    models/lenet.py:27"""
    for i in range(64):
        sum = f32(0.0)
        max2 = f32(-inf)
        for r0_2 in range(10):
            max2 = rmax(max2, logits[i * 10 + r0_2])
        where = select(abs(max2) < f32(inf), max2, f32(0.0))
        for r0 in range(10):
            sum = radd(sum, exp_f32(logits[i * 10 + r0] - where))
        chosen = f32(0.0)
        log_total = log_f32(sum) + where
        minimum2 = min(max(label[i], i32(0)), i32(9))
        for r0_3 in range(10):
            where2 = select(minimum2 == i32(r0_3), logits[i * 10 + r0_3], f32(0.0))
            chosen = radd(chosen, where2)
        out[i] = log_total - chosen
