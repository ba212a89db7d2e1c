using System.Text.Json.Nodes;
using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Tests.Lora;

public sealed class ModelConfigTests : IDisposable
{
    private const string Llama = """
        "model_type":"llama","vocab_size":100,"hidden_size":64,"intermediate_size":128,"num_hidden_layers":4,
        "num_attention_heads":8
        """;

    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    private ModelConfig Read(string fields)
    {
        folder.Write("config.json", "{" + fields + "}");
        return ModelConfig.Read(folder.Path);
    }

    private string Refusal(string fields)
    {
        var e = Assert.Throws<UserErrorException>(() => Read(fields));
        Assert.StartsWith(folder.File("config.json"), e.Message);
        Assert.DoesNotContain('\n', e.Message);
        return e.Message;
    }

    [Fact]
    public void LlamaDefaults()
    {
        ModelConfig config = Read(Llama);
        Assert.Equal(
            (ModelFamily.Llama, 8, 8, 2048, 1e-6, 10000.0), (config.Family, config.KeyValueHeads, config.HeadDim,
                config.MaxPositions, config.NormEps, config.RopeTheta));
        Assert.False(config.QkvBias || config.AttentionOutputBias || config.MlpBias || config.TieWordEmbeddings);
        Assert.Equal(Activation.Silu, config.Activation);
        Assert.Equal(1, config.BosTokenId);
        Assert.Equal([2], config.EosTokenIds);
        Assert.Empty(config.Windows);
        Assert.Null(config.RopeScaling);
    }

    [Fact]
    public void LlamaThree()
    {
        ModelConfig config = Read(Llama + """
            ,"attention_bias":true,"mlp_bias":true,"head_dim":16,"num_key_value_heads":2,"rope_theta":500000.0,
            "eos_token_id":[7,8,9],"bos_token_id":null,"rope_scaling":{"factor":8.0,"low_freq_factor":1.0,
            "high_freq_factor":4.0,"original_max_position_embeddings":8192,"rope_type":"llama3"}
            """);
        Assert.Equal(new RopeScaling.Llama3(8, 1, 4, 8192), config.RopeScaling);
        Assert.Equal((16, 2, 500000.0), (config.HeadDim, config.KeyValueHeads, config.RopeTheta));
        Assert.True(config.QkvBias && config.AttentionOutputBias && config.MlpBias);
        Assert.Equal([7, 8, 9], config.EosTokenIds);
        Assert.Null(config.BosTokenId);
    }

    [Fact]
    public void NewerRopeSpelling()
    {
        ModelConfig config = Read(Llama + """
            ,"rope_parameters":{"rope_theta":1000000,"rope_type":"linear","factor":4}
            """);
        Assert.Equal(new RopeScaling.Linear(4), config.RopeScaling);
        Assert.Equal(1e6, config.RopeTheta);
        config.Write(folder.Path);
        Assert.Equal(config.RopeScaling, ModelConfig.Read(folder.Path).RopeScaling);
        Assert.Equal(1e6, ModelConfig.Read(folder.Path).RopeTheta);
    }

    [Fact]
    public void FamiliesDifferInBiasNormAndWindow()
    {
        string rest = Llama.Replace("\"llama\"", "\"mistral\"", StringComparison.Ordinal);
        Assert.Equal([4096, 4096, 4096, 4096], Read(rest).Windows);
        Assert.Empty(Read(rest + ",\"sliding_window\":null").Windows);
        Assert.Equal(9, Read(rest + ",\"sliding_window\":9").WindowOf(3));

        rest = Llama.Replace("\"llama\"", "\"qwen2\"", StringComparison.Ordinal);
        ModelConfig qwen2 = Read(rest + ",\"sliding_window\":9,\"max_window_layers\":2");
        Assert.True(qwen2.QkvBias && !qwen2.AttentionOutputBias && !qwen2.QkNorm && qwen2.Windows.Count == 0);
        Assert.Empty(qwen2.EosTokenIds);
        Assert.Equal([0, 0, 9, 9],
            Read(rest + ",\"sliding_window\":9,\"max_window_layers\":2,\"use_sliding_window\":true").Windows);
        Assert.Equal([9, 0, 9, 0], Read(rest + """
            ,"sliding_window":9,"use_sliding_window":true,
            "layer_types":["sliding_attention","full_attention","sliding_attention","full_attention"]
            """).Windows);

        ModelConfig qwen3 = Read(Llama.Replace("\"llama\"", "\"qwen3\"", StringComparison.Ordinal));
        Assert.True(qwen3.QkNorm && !qwen3.QkvBias);
        Assert.Equal(128, qwen3.HeadDim);
    }

    [Fact]
    public void Gpt2()
    {
        ModelConfig config = Read("""
            "model_type":"gpt2","vocab_size":50257,"n_embd":768,"n_layer":12,"n_head":12,"n_positions":1024,"n_ctx":1024,
            "n_inner":null,"activation_function":"gelu_new","layer_norm_epsilon":1e-05
            """);
        Assert.Equal((3072, 64, 12, 1024, 1e-5), (config.IntermediateSize, config.HeadDim, config.KeyValueHeads,
            config.MaxPositions, config.NormEps));
        Assert.True(config.TieWordEmbeddings && config.QkvBias && config.AttentionOutputBias && config.MlpBias);
        Assert.Equal(Activation.GeluTanh, config.Activation);
        Assert.Equal([50256], config.EosTokenIds);
    }

    [Theory]
    [InlineData("\"vocab_size\":3", "'model_type' must be one of llama, mistral, qwen2, qwen3, gpt2, but is missing")]
    [InlineData("\"model_type\":\"bert\"",
        "'model_type' must be one of llama, mistral, qwen2, qwen3, gpt2, but is \"bert\"")]
    [InlineData(Llama + ",\"hidden_act\":\"relu\"", "'hidden_act' must be one of silu")]
    [InlineData(Llama + ",\"num_key_value_heads\":3",
        "'num_key_value_heads' must be a divisor of num_attention_heads (8), but is 3")]
    [InlineData(Llama + ",\"rope_scaling\":{\"type\":\"yarn\",\"factor\":2}",
        "'rope_scaling.type' must be one of default, linear, llama3, but is \"yarn\"")]
    [InlineData(Llama + ",\"rope_scaling\":{\"type\":\"linear\"}",
        "'rope_scaling.factor' must be a number above 0, but is missing")]
    [InlineData(Llama + ",\"quantization_config\":{\"quant_method\":\"gptq\",\"bits\":4}",
        "'quantization_config.quant_method' must be bitsandbytes (4-bit) or absent, but is \"gptq\"")]
    [InlineData(Llama + ",\"quantization_config\":{\"quant_method\":\"bitsandbytes\",\"load_in_8bit\":true}",
        "'quantization_config.load_in_8bit' must be false (4-bit is supported), but is true")]
    [InlineData(Llama + ",\"quantization_config\":{\"bnb_4bit_quant_type\":\"int4\"}",
        "'quantization_config.bnb_4bit_quant_type' must be nf4 or fp4, but is \"int4\"")]
    [InlineData(Llama + ",\"partial_rotary_factor\":0.5", "'partial_rotary_factor' must be 1, but is 0.5")]
    [InlineData(Llama + ",\"rms_norm_eps\":\"x\"", "'rms_norm_eps' must be a finite number, but is \"x\"")]
    [InlineData(Llama + ",\"layer_types\":[\"full_attention\"]", "'layer_types' must be 4 times")]
    [InlineData(Llama + ",\"head_dim\":7", "'head_dim' must be even")]
    [InlineData(Llama + ",\"tie_word_embeddings\":1", "'tie_word_embeddings' must be true or false, but is 1")]
    [InlineData("\"model_type\":\"llama\",\"vocab_size\":100", "must be a whole number of at least 1, but is missing")]
    [InlineData("\"model_type\":\"llama\",\"vocab_size\":100,\"vocab_size\":100", "is not valid JSON")]
    [InlineData("\"model_type\":\"gpt2\",\"vocab_size\":9,\"n_embd\":10,\"n_layer\":1,\"n_head\":3",
        "'n_head' must be a divisor of the width 10, but is 3")]
    [InlineData("\"model_type\":\"gpt2\",\"vocab_size\":9,\"n_embd\":10,\"n_layer\":1,\"n_head\":2,\"scale_attn_by_inverse_layer_idx\":true", "'scale_attn_by_inverse_layer_idx' must be false")]
    public void RefusesWithFileFieldAndValue(string fields, string message) =>
        Assert.Contains(message, Refusal(fields));

    [Fact]
    public void TheRealConfigIsWrittenBackWithNothingLost()
    {
        string path = SharedData.Require("models/TinyStories-656K");
        ModelConfig config = ModelConfig.Read(path);
        Assert.Equal((128, 384, 2, 8, 4, 16), (config.HiddenSize, config.IntermediateSize, config.Layers, config.Heads,
            config.KeyValueHeads, config.HeadDim));
        Assert.True(config.TieWordEmbeddings);
        config.Write(folder.Path);
        JsonObject before = JsonNode.Parse(File.ReadAllText(Path.Combine(path, "config.json")))!.AsObject();
        JsonObject after = JsonNode.Parse(File.ReadAllText(folder.File("config.json")))!.AsObject();
        Assert.Equal(16, after["head_dim"]!.GetValue<int>());
        after.Remove("head_dim");
        Assert.True(JsonNode.DeepEquals(before, after), after.ToJsonString());
        GenerationConfig generation = GenerationConfig.Read(path, config);
        generation.Write(folder.Path);
        Assert.Equal([2], GenerationConfig.Read(folder.Path, config).EosTokenIds);
    }

    [Theory]
    [InlineData(ModelFamily.Llama)]
    [InlineData(ModelFamily.Mistral)]
    [InlineData(ModelFamily.Qwen2)]
    [InlineData(ModelFamily.Qwen3)]
    [InlineData(ModelFamily.Gpt2)]
    public void AConfigMadeInCodeSurvivesTheFile(ModelFamily family)
    {
        bool gpt2 = family == ModelFamily.Gpt2;
        var config = new ModelConfig
        {
            Family = family,
            VocabSize = 50,
            HiddenSize = 32,
            IntermediateSize = 80,
            Layers = 3,
            Heads = 4,
            KeyValueHeads = gpt2 ? 4 : 2,
            HeadDim = gpt2 ? 8 : 10,
            MaxPositions = 77,
            NormEps = 1e-5,
            RopeTheta = gpt2 ? 10000 : 5000,
            RopeScaling = gpt2 ? null : new RopeScaling.Linear(2),
            TieWordEmbeddings = true,
            QkvBias = family is ModelFamily.Qwen2 or ModelFamily.Gpt2,
            AttentionOutputBias = gpt2,
            MlpBias = gpt2,
            Activation = gpt2 ? Activation.GeluTanh : Activation.Silu,
            Windows = family is ModelFamily.Qwen2 or ModelFamily.Qwen3 ? [0, 5, 5]
                : family == ModelFamily.Mistral ? [6, 6, 6] : [],
            InitializerRange = 0.03,
            BosTokenId = 1,
            EosTokenIds = [2, 3],
            PadTokenId = 0,
        };
        config.Write(folder.Path, "bfloat16");
        ModelConfig back = ModelConfig.Read(folder.Path);
        Assert.Equal(config.Windows, back.Windows);
        Assert.Equal(config.EosTokenIds, back.EosTokenIds);
        Assert.Equal(config, back with { Source = null, Windows = config.Windows, EosTokenIds = config.EosTokenIds });
    }
}
