using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Tests.Lora;

/// <summary>What A and B begin as, and that the model begins as the base.</summary>
public sealed class LoraInitTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Theory]
    [InlineData("true")]
    [InlineData("gaussian")]
    [InlineData("orthogonal")]
    [InlineData("pissa")]
    [InlineData("pissa_niter_4")]
    [InlineData("olora")]
    [InlineData("both_zero")]
    [InlineData("zero_a")]
    public void TheModelBeginsAsTheBase(string init)
    {
        using var model = TinyModel.Create();
        var before = TinyModel.Logits(model);
        var config = Config(init);
        using var adapter = LoraAdapter.Create(model, config, new Generator(5));
        // PiSSA and OLoRA add and take off the same product; orthogonal's B A is zero but for rounding.
        Near(before, TinyModel.Logits(model), 1e-5);
        var zero = (adapter.Layers[0].A.Value.ToArray().All(v => v == 0),
            adapter.Layers[0].B.Value.ToArray().All(v => v == 0));
        Assert.Equal(
            init switch
            {
                "both_zero" => (true, true),
                "zero_a" => (true, false),
                "true" or "gaussian" => (false, true),
                _ => (false, false),
            },
            zero);
    }

    [Theory]
    [InlineData("both_gaussian")]
    [InlineData("false")]
    public void BothRandomDisturbTheFirstOutput(string init)
    {
        using var model = TinyModel.Create();
        var before = TinyModel.Logits(model);
        using var adapter = LoraAdapter.Create(model, Config(init), new Generator(5));
        Assert.True(before.Zip(TinyModel.Logits(model), (x, y) => Math.Abs(x - y)).Max() > 1e-2);
    }

    // The best approximation of rank r leaves the other singular values (Eckart and Young 1936), here from W Wᵀ's
    // trace in double precision.
    [Theory]
    [InlineData("pissa")]
    [InlineData("pissa_niter_16")]
    public void PissaTakesTheLargestSingularValues(string init)
    {
        using var scope = TensorScope.Begin();
        using var layer = new Linear(24, 16, new Generator(3));
        using var lora = LoraLinear.From(layer, Config(init) with { R = 4, LoraAlpha = 8 }, new Generator(5));
        var product = lora.B.Value.MatMul(lora.A).Scale(lora.Scale).ToArray();
        var weight = layer.Weight.Value;
        var rest = weight.ToArray().Zip(product, (w, p) => ((double)w - p) * ((double)w - p)).Sum();
        var values = SingularValues.Of(weight).Values;
        var least = values.Skip(4).Sum(v => (double)v * v);
        // Sixteen rounds of the randomised search leave (σ5 / σ4)^32 of the difference.
        Assert.InRange(rest / least, 1 - 1e-4, 1 + 1e-2);
        Assert.Equal(2, lora.Scale);
        // A's rows and B's columns have the same lengths √(σ / s).
        var (a, b) = (lora.A.Value.ToArray(), lora.B.Value.ToArray());
        for (var j = 0; j < 4; j++)
        {
            var row = a.AsSpan(j * 24, 24).ToArray().Sum(v => (double)v * v);
            var column = Enumerable.Range(0, 16).Sum(i => (double)b[(i * 4) + j] * b[(i * 4) + j]);
            Assert.Equal(row, column, 1e-3);
            Assert.Equal(values[j] / 2, row, init == "pissa" ? 1e-4 : 1e-2);
        }
    }

    [Fact]
    public void OloraTakesTheFirstColumnsOfTheQrDecomposition()
    {
        using var scope = TensorScope.Begin();
        using var layer = new Linear(10, 12, new Generator(3));
        using var lora = LoraLinear.From(layer, Config("olora") with { R = 3 }, new Generator(5));
        var b = lora.B.Value;
        var products = b.MatMul(b, transposeA: true).ToArray();
        for (var i = 0; i < 9; i++)
            Assert.Equal(i % 4 == 0 ? 1.0 : 0.0, products[i], 1e-5);
        // The first three columns of W lie in the space of Q's first three columns.
        var product = b.MatMul(lora.A).ToArray();
        var weight = layer.Weight.Value.ToArray();
        for (var i = 0; i < 12; i++)
        {
            for (var j = 0; j < 3; j++)
                Assert.Equal(weight[(i * 10) + j], product[(i * 10) + j], 1e-5);
        }
    }

    [Fact]
    public void OrthogonalsProductIsZero()
    {
        using var scope = TensorScope.Begin();
        using var layer = new Linear(10, 12, new Generator(3));
        using var lora = LoraLinear.From(layer, Config("orthogonal") with { R = 6 }, new Generator(5));
        Assert.All(lora.B.Value.MatMul(lora.A).ToArray(), v => Assert.Equal(0, v, 1e-6));
        // Normal values times rows of length 1, times 0.1: deviation 0.1.
        var deviation = Math.Sqrt(lora.A.Value.ToArray().Average(v => (double)v * v));
        Assert.InRange(deviation, 0.03, 0.12);
    }

    [Theory]
    [InlineData("pissa", false)]
    [InlineData("olora", false)]
    [InlineData("olora", true)]
    public void ASavedAdapterFitsTheBaseAsItWas(string init, bool rsLora)
    {
        using var model = TinyModel.Create();
        var before = TinyModel.Logits(model);
        var config = Config(init) with
        {
            UseRsLora = rsLora,
            RankPattern = [KeyValuePair.Create("q_proj", 3)],
            AlphaPattern = [KeyValuePair.Create("v_proj", 5.0)],
        };
        using var adapter = LoraAdapter.Create(model, config, new Generator(5));
        TinyModel.Train(adapter, 6);
        var trained = TinyModel.Logits(model);
        adapter.Save(folder.Path);
        var stored = LoraConfig.Read(folder.Path);
        Assert.Equal((4, LoraInit.Default), (stored.R, stored.InitLoraWeights));
        // A checkpoint of the same run goes on where it was.
        TinyModel.Train(adapter, 7);
        adapter.Restore(folder.Path);
        Assert.Equal(trained, TinyModel.Logits(model));
        adapter.Merge();
        Near(trained, TinyModel.Logits(model), 5e-5);
        adapter.Unmerge();
        adapter.Deactivate();
        Near(before, TinyModel.Logits(model), 1e-5);
        using var loaded = LoraAdapter.Load(model, folder.Path);
        Assert.Equal(6, loaded.Layers[0].Rank);
        Near(trained, TinyModel.Logits(model), 5e-5);
    }

    [Fact]
    public void ACheckpointOfOtherFirstValuesIsRefused()
    {
        using var model = TinyModel.Create();
        using (var adapter = LoraAdapter.Create(model, Config("pissa_niter_1"), new Generator(5)))
            adapter.Save(folder.Path);
        using var other = LoraAdapter.Create(model, Config("pissa_niter_1"), new Generator(6));
        Assert.Contains("began with other values",
            Assert.Throws<UserErrorException>(() => other.Restore(folder.Path)).Message);
    }

    [Fact]
    public void EvaFollowsTheInputsAndKeepsBudgetAndScale()
    {
        using var model = TinyModel.Create();
        var before = TinyModel.Logits(model);
        var random = new Random(3);
        var examples = Enumerable.Range(0, 24).Select(_ =>
        {
            var ids = Enumerable.Range(0, 10).Select(_ => random.Next(20)).ToArray();
            return new SftExample(ids, ids);
        }).ToArray();
        var data = new Batcher(examples, new BatcherOptions { BatchSize = 12 });
        var config = Config("eva") with { LoraAlpha = 6, TargetModules = ModuleSelector.AllLinear };
        using var adapter = Eva.Create(model, config, data, new Generator(5));
        Assert.Equal(before, TinyModel.Logits(model));
        Assert.Equal(14 * 2, adapter.Layers.Sum(layer => layer.Rank));
        Assert.All(adapter.Layers, layer => Assert.InRange(layer.Rank, 1, 4));
        Assert.All(adapter.Layers, layer => Assert.Equal(3f, layer.Scale, 1e-6f));
        using var scope = TensorScope.Begin();
        foreach (var layer in adapter.Layers)
        {
            var products = layer.A.Value.MatMul(layer.A, transposeB: true).ToArray();
            for (var i = 0; i < products.Length; i++)
                Assert.Equal(i % (layer.Rank + 1) == 0 ? 1.0 : 0.0, products[i], 1e-5);
        }
        adapter.Save(folder.Path);
        using var loaded = LoraAdapter.Load(model, folder.Path);
        Assert.Equal(adapter.Layers.Select(l => (l.Rank, l.Scale)), loaded.Layers.Select(l => (l.Rank, l.Scale)));
    }

    // All rows in one batch: the directions are those of the centred matrix.
    [Fact]
    public void IncrementalDirectionsAreThoseOfAllRows()
    {
        var random = new Random(1);
        var rows = Enumerable.Range(0, 90 * 5)
            .Select(i => (float)((random.NextDouble() * (5 - (i % 5))) + 2)).ToArray();
        var pca = new IncrementalPca(5, 2);
        for (var i = 0; i < 3; i++)
            pca.Add(rows.AsSpan(i * 150, 150), 0.99);
        using var scope = TensorScope.Begin();
        var centred = rows.ToArray();
        for (var j = 0; j < 5; j++)
        {
            var mean = Enumerable.Range(0, 90).Average(i => rows[(i * 5) + j]);
            for (var i = 0; i < 90; i++)
                centred[(i * 5) + j] -= (float)mean;
        }
        var svd = SingularValues.Of(Tensor.From(centred, Shape.Of(90, 5)));
        var total = svd.Values.Sum(v => (double)v * v);
        for (var c = 0; c < 2; c++)
        {
            var cosine = Enumerable.Range(0, 5).Sum(j => svd.V.ToArray()[(j * 5) + c] * pca.Directions[(c * 5) + j]);
            // Two of five directions are kept between batches: what the others had is lost.
            Assert.InRange(Math.Abs(cosine), 0.98, 1.0001);
            Assert.Equal(svd.Values[c] * svd.Values[c] / total, pca.VarianceShares()[c], 0.02);
        }
    }

    [Fact]
    public void RanksThatCannotBeAreRefused()
    {
        using var model = TinyModel.Create();
        Refused(Config("orthogonal") with { R = 3 }, "orthogonal needs an even r, but r is 3");
        Refused(Config("pissa") with { R = 5 }, "pissa needs r of at most 4");
        Refused(Config("olora") with { R = 5 }, "olora needs r of at most 4");
        Refused(Config("eva"), "eva needs data");

        void Refused(LoraConfig config, string part) => Assert.Contains(
            part,
            Assert.Throws<UserErrorException>(() => LoraAdapter.Create(model, config, new Generator(5))).Message);
    }

    private static LoraConfig Config(string init)
    {
        Assert.True(LoraInitNames.TryParse(init, out var value, out var iterations));
        Assert.Equal(init, LoraInitNames.Of(value, iterations));
        return new LoraConfig { R = 2, InitLoraWeights = value, PissaIterations = iterations };
    }

    private static void Near(float[] expected, float[] actual, double tolerance)
    {
        for (var i = 0; i < expected.Length; i++)
            Assert.Equal(expected[i], actual[i], tolerance);
    }
}
